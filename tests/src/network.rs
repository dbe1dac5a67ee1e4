//! A network of two machines, in namespaces of the kernel: a computer and a phone, with an Ethernet cable between them.
//! Wants Linux and root; [`missing`] says what this machine lacks.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, Ipv6Addr},
    os::fd::AsFd,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The network of both, unless a test moves one.
pub const COMPUTER: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 1);
/// See [`COMPUTER`].
pub const PHONE: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 7);

/// What this machine lacks for it.
pub fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("root".into());
    }
    for (program, package) in [("ip", "iproute2"), ("nft", "nftables")] {
        if run(program, &["-V"]).is_err() && run(program, &["-v"]).is_err() {
            return Some(package.into());
        }
    }
    Namespace::new("probe").err().map(|error| format!("network namespaces: {error}"))
}

fn run(program: &str, arguments: &[&str]) -> io::Result<()> {
    let output = Command::new(program).args(arguments).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)))),
    }
}

/// One machine. It goes when the last handle is dropped.
#[derive(Clone)]
pub struct Namespace(Arc<Name>);

struct Name(String);

impl Drop for Name {
    fn drop(&mut self) {
        // Nothing else could be done about one that stays.
        drop(run("ip", &["netns", "del", &self.0]));
    }
}

impl Namespace {
    fn new(role: &str) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("bs{}-{}-{role}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        run("ip", &["netns", "add", &name])?;
        let namespace = Self(Arc::new(Name(name)));
        namespace.command("sysctl", &["-qw", "net.ipv6.conf.default.disable_ipv6=1"])?;
        namespace.command("ip", &["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// For `ip netns exec`.
    pub fn name(&self) -> &str {
        &self.0.0
    }

    /// Runs a program there to its end.
    pub fn command(&self, program: &str, arguments: &[&str]) -> io::Result<()> {
        run("ip", &[&["netns", "exec", self.name(), program], arguments].concat())
    }

    /// Does something on a thread there: sockets and threads that are made meanwhile stay there.
    pub fn with<T: Send>(&self, body: impl FnOnce() -> T + Send) -> io::Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let namespace = File::open(format!("/run/netns/{}", self.name()))?;
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok(body())
            });
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread died")))
        })
    }

    /// Its only address from now on.
    pub fn set_address(&self, address: Ipv4Addr) -> io::Result<()> {
        self.command("ip", &["address", "flush", "dev", "eth0"])?;
        self.command("ip", &["address", "add", &format!("{address}/24"), "dev", "eth0"])
    }

    /// Its only address from now on, beside the one that it gives itself.
    pub fn set_only_ipv6(&self, address: Ipv6Addr) -> io::Result<()> {
        self.command("ip", &["address", "flush", "dev", "eth0"])?;
        self.command("sysctl", &["-qw", "net.ipv6.conf.eth0.accept_dad=0", "net.ipv6.conf.eth0.disable_ipv6=0"])?;
        self.command("ip", &["address", "add", &format!("{address}/64"), "dev", "eth0", "nodad"])
    }

    /// One more network, which leads to nobody else.
    pub fn add_network(&self, name: &str, address: Ipv4Addr) -> io::Result<()> {
        self.command("ip", &["link", "add", name, "type", "veth", "peer", "name", &format!("{name}p")])?;
        self.command("ip", &["address", "add", &format!("{address}/24"), "dev", name])?;
        self.command("ip", &["link", "set", &format!("{name}p"), "up"])?;
        self.command("ip", &["link", "set", name, "up"])
    }

    /// Its cable to the network is in or out.
    pub fn set_online(&self, online: bool) -> io::Result<()> {
        self.command("ip", &["link", "set", "eth0", if online { "up" } else { "down" }])
    }

    /// The kernel takes a moment to see a cable.
    fn wait_until_online(&self) -> io::Result<()> {
        for _ in 0..1000 {
            let output = Command::new("ip").args(["-n", self.name(), "-br", "link", "show", "eth0"]).output()?;
            if String::from_utf8_lossy(&output.stdout).contains(" UP ") {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// A firewall drops what comes in and goes out for this port, as `udp dport 5353` names it.
    pub fn block(&self, what: &str) -> io::Result<()> {
        let table = "table inet test";
        let rules = format!(
            "{table} {{}}\nflush {table}\n{table} {{\n\
             chain in {{ type filter hook input priority 0; {what} drop; }}\n\
             chain out {{ type filter hook output priority 0; {what} drop; }}\n}}\n"
        );
        let file = std::env::temp_dir().join(format!("{}.nft", self.name()));
        std::fs::write(&file, rules)?;
        let blocked = self.command("nft", &["-f", file.to_str().unwrap_or_default()]);
        std::fs::remove_file(file)?;
        blocked
    }

    /// The firewall is gone.
    pub fn unblock(&self) -> io::Result<()> {
        self.command("nft", &["flush", "ruleset"])
    }
}

/// Both machines.
pub struct Network {
    /// Where the daemon runs.
    pub computer: Namespace,
    /// Where the phone is.
    pub phone: Namespace,
}

impl Network {
    /// Both are online and in the same network.
    pub fn new() -> io::Result<Self> {
        let (computer, phone) = (Namespace::new("computer")?, Namespace::new("phone")?);
        run(
            "ip",
            &[
                "link",
                "add",
                "eth0",
                "netns",
                computer.name(),
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                phone.name(),
            ],
        )?;
        for (machine, address) in [(&computer, COMPUTER), (&phone, PHONE)] {
            machine.set_address(address)?;
            machine.set_online(true)?;
        }
        for machine in [&computer, &phone] {
            machine.wait_until_online()?;
        }
        Ok(Self { computer, phone })
    }
}

//! Which commands this system is mended with.

use std::{fs, path::Path};

/// How a package is installed here; a sentence where the system is not known.
pub fn install(package: &str) -> String {
    install_on(&fs::read_to_string("/etc/os-release").unwrap_or_default(), package)
}

/// `os-release` names the system and those that it is like. Source: os-release(5).
fn install_on(os_release: &str, package: &str) -> String {
    let value = |key: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
    };
    let own_and_like = format!("{} {}", value("ID"), value("ID_LIKE"));
    let command = own_and_like.split_whitespace().find_map(|name| match name {
        "debian" | "ubuntu" => Some("sudo apt install"),
        "fedora" | "rhel" => Some("sudo dnf install"),
        "arch" => Some("sudo pacman -S"),
        "suse" | "opensuse" | "opensuse-tumbleweed" | "opensuse-leap" => Some("sudo zypper install"),
        "alpine" => Some("sudo apk add"),
        "gentoo" => Some("sudo emerge"),
        "void" => Some("sudo xbps-install"),
        _ => None,
    });
    match command {
        Some(command) => format!("{command} {package}"),
        None if own_and_like.starts_with("nixos") => {
            format!("set services.{package}.enable = true, then sudo nixos-rebuild switch")
        }
        None => format!("install the package {package}"),
    }
}

/// True when systemd runs this system. Source: sd_booted(3).
pub fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// True when a program of this name is installed, also one that is only for the administrator.
pub fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin"].map(Into::into);
    std::env::split_paths(&path).chain(usual).any(|folder| folder.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_of_each_system() {
        for (os_release, command) in [
            ("NAME=\"Debian\"\nID=debian\n", "sudo apt install usbmuxd"),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "sudo apt install usbmuxd"),
            ("ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"", "sudo zypper install usbmuxd"),
            ("ID=rocky\nID_LIKE=\"rhel centos fedora\"", "sudo dnf install usbmuxd"),
            ("ID=arch", "sudo pacman -S usbmuxd"),
            ("ID=nixos", "set services.usbmuxd.enable = true, then sudo nixos-rebuild switch"),
            ("", "install the package usbmuxd"),
        ] {
            assert_eq!(install_on(os_release, "usbmuxd"), command, "{os_release:?}");
        }
    }
}

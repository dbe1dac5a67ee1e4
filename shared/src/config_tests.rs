//! What a file of settings may say, and what is told of one that is wrong.

use super::*;

fn parse(text: &str) -> Result<Config, String> {
    toml::from_str(text).map_err(|error: toml::de::Error| error.to_string())
}

#[test]
fn an_empty_file_is_the_defaults() {
    assert_eq!(parse(""), Ok(Config::default()));
    assert_eq!(Config::default().backup.every_hours.duration(), Duration::from_secs(72_000));
}

#[test]
fn a_mistake_is_told_with_its_line() {
    for (text, place, word) in [
        ("[backup]\nevery_hors = 3", "line 2", "every_hors"),
        ("[backup]\n\nevery_hours = 0", "line 3", "expected 1 to 8760"),
        ("[backup]\nschedule = \"at noon\"", "line 2", "no cron expression"),
        ("[backup]\nschedule = \"0 22 1 * 1\"", "line 2", "give one of them"),
        ("[backup]\n\ntime_zone = \"Europe/Berln\"", "line 3", "did you mean \"Europe/Berlin\""),
        ("[backup]\non_connect_hours = 0", "line 2", "expected 1 to 8760"),
        ("[backup]\nhours = \"at night\"", "line 2", "are no hours"),
        ("[backup]\nbattery_percent_min = 101", "line 2", "expected 0 to 100"),
        ("[backup]\noverdue_days = 0", "line 2", "expected 1 to 365"),
        ("[bakcup]", "line 1", "bakcup"),
        ("[phones.\"00008120-000A\"]\nevery_hors = 3", "line 2", "every_hors"),
        ("[phones.\"00008120-000A\"]\n\nname = \"\"", "line 3", "is no name"),
        ("[phones.\"00008120-000A\"]\nbattery_percent_min = 101", "line 2", "expected 0 to 100"),
        ("[backup]\n[phones.Anna]\nenabled = false", "line 2", "is not a UDID"),
        ("[notify]\nquiet_hours = \"22-7\"", "line 2", "are no hours"),
        ("[watch]\napple_statsu = false", "line 2", "apple_statsu"),
        ("[watch.addresses]\nstatus = \"http://example.org/\"", "line 2", "expected https://... here"),
        ("[hooks]\non_start = \"program\"", "line 2", "sequence"),
        ("[hooks]\non_sucess = [\"program\"]", "line 2", "on_sucess"),
        ("[hooks]\n\non_failure = []", "line 3", "an empty command"),
        ("[hooks]\nntfy = \"ntfy.sh/topic\"", "line 2", "no web address"),
        ("[hooks]\nhealthchecks = \"file:///etc/passwd\"", "line 2", "no web address"),
        ("[hooks]\nntfy = \"https://ntfy.sh/to pic\"", "line 2", "no web address"),
        ("[metrics]\nfile = \"backstay.prom\"", "line 2", "a whole path"),
        ("[metrics]\nfile = \"/var/lib/backstay.txt\"", "line 2", ".prom"),
    ] {
        let message = parse(text).expect_err(text);
        assert!(message.contains(place) && message.contains(word), "{text:?} gave {message}");
    }
}

/// What a person finds when opening the settings for the first time.
#[test]
fn the_template_is_the_defaults_and_has_every_setting() {
    assert_eq!(parse(Config::TEMPLATE), Ok(Config::default()));
    let settings = |line: &&str| line.starts_with('#') && !line.starts_with("# ");
    let uncommented: String = Config::TEMPLATE
        .lines()
        .map(|line| if settings(&line) { &line[1..] } else { line })
        .collect::<Vec<_>>()
        .join("\n");
    let config = parse(&uncommented).unwrap();
    let (set, usual) = (config.backup, Backup::default());
    assert_eq!(
        Backup { root: None, schedule: None, time_zone: Zone::Computer, on_connect_hours: None, hours: None, ..set },
        usual,
        "what is shown is what holds without it"
    );
    assert_eq!(config.watch, Watch::default());
    assert_eq!(config.phones.len(), 1);
    assert!(config.notify.quiet_hours.is_some() && config.metrics.file.is_some() && !config.hooks.are_none());
    for section in ["backup", "network", "notify", "watch", "hooks", "metrics", "phones.\"00008120-001A2D3E0C40201E\""]
    {
        // What is refused is refused with the names that are known.
        let known = parse(&format!("[{section}]\nno-setting = 1")).unwrap_err();
        let known = known.split_once("expected").unwrap().1.split('`').skip(1).step_by(2);
        let here = Config::TEMPLATE.split_once(&format!("[{section}]")).unwrap().1;
        let here = here.split("\n[").next().unwrap();
        for key in known.filter(|key| *key != "addresses") {
            assert!(here.contains(&format!("\n#{key} = ")), "{section}.{key} is missing");
        }
    }
}

#[test]
fn a_phone_has_its_own_settings_and_the_rest_of_everybody() {
    let config = parse(
        r#"
        [backup]
        schedule = "0 0 22 * * *"
        hours = "18:00-08:00"
        battery_percent_min = 30

        [phones."00008120-001A2D3E0C40201E"]
        name = " Anna "
        every_hours = 4
        require_encryption = true
        on_connect_hours = 2
        overdue_days = 14
        only_when_charging = true
        keep_last = 1
        keep_daily = 30
        keep_weekly = 0
        keep_monthly = 24

        [phones."5d2b8bcf0c83fbd8e8fa2cbbf5a1e2c4d1d0f0aa"]
        enabled = false
        hours = "09:00-17:00"
        "#,
    )
    .unwrap();
    let udid = |text: &str| text.parse::<Udid>().unwrap();
    let (anna, tom) = (udid("00008120-001a2d3e0c40201e"), udid("5d2b8bcf0c83fbd8e8fa2cbbf5a1e2c4d1d0f0aa"));
    let everybody = config.backup.clone();
    let of_anna = config.backup_of(&anna);
    assert_eq!(of_anna.retention(), Retention { last: 1, daily: 30, weekly: 0, monthly: 24 });
    assert_eq!((of_anna.every_hours, of_anna.schedule, of_anna.require_encryption), (Hours(4), None, true));
    assert_eq!((of_anna.hours, of_anna.battery_percent_min), (everybody.hours, Percent(30)));
    assert_eq!((of_anna.on_connect_hours, of_anna.overdue_days), (Some(Hours(2)), Days(14)));
    assert!(of_anna.only_when_charging && !everybody.only_when_charging);
    assert_eq!((config.name_of(&anna), config.is_turned_off(&anna)), (Some("Anna"), false));
    let of_tom = config.backup_of(&tom);
    assert!(of_tom.hours != everybody.hours && of_tom.schedule == everybody.schedule);
    assert_eq!((config.name_of(&tom), config.is_turned_off(&tom)), (None, true));
    assert_eq!(config.backup_of(&udid("00008120-000B")), everybody);
}

#[test]
fn what_the_readme_shows_is_understood() {
    let config = parse(
        r#"
        [watch]
        apple_status = false

        [hooks]
        on_failure = ["notify-send", "--urgency=critical", "no backup"]
        healthchecks = "https://hc-ping.com/your-ping-key/backstay-{udid}?create=1"
        ntfy = "http://ntfy.local/phones"

        [metrics]
        file = "/var/lib/prometheus/node-exporter/backstay.prom"
        "#,
    )
    .unwrap();
    assert!(!config.watch.apple_status && config.watch.ios_versions && config.watch.icloud);
    assert_eq!(config.hooks.on_failure.unwrap().arguments, ["--urgency=critical", "no backup"]);
    assert_eq!(config.hooks.healthchecks.unwrap().host(), "hc-ping.com");
}

#[test]
fn only_this_computer_may_do_without_tls() {
    for (address, private) in [
        ("https://www.apple.com/", true),
        ("http://127.0.0.1:8080/", true),
        ("http://[::1]/", true),
        ("http://localhost/", true),
        ("http://localhost.example.org/", false),
        ("http://127.0.0.1@example.org/", false),
        ("http://192.168.1.2/", false),
    ] {
        assert_eq!(WebAddress::try_from(address).unwrap().is_private(), private, "{address}");
    }
}

//! com.apple.mobile.diagnostics_relay: restart, shut down, and the state of the battery.

use std::io;

use plist::{Dictionary, Value};

use super::plist_stream;
use crate::phone::{Phone, Stream};

/// Answers requests; a restart takes the phone off the cable, and it is not unlocked since.
pub(super) async fn serve<S: Stream>(phone: &Phone, mut stream: S) -> io::Result<()> {
    let mut goes_away = None;
    while let Some(request) = plist_stream::read_dictionary(&mut stream).await? {
        let success = || Dictionary::from_iter([("Status", Value::from("Success"))]);
        let waits = request.get("WaitForDisconnect").and_then(Value::as_boolean).unwrap_or(false);
        let name = request.get("Request").and_then(Value::as_string).unwrap_or_default();
        let mut reply = success();
        match name {
            "Goodbye" | "Sleep" => {}
            "Restart" | "Shutdown" => match phone.restart_refusal() {
                Some(status) => reply = Dictionary::from_iter([("Status", Value::from(status))]),
                None => goes_away = Some(name.to_owned()),
            },
            "All" | "GasGauge" => {
                let gauge = Dictionary::from_iter([("GasGauge", Value::Dictionary(gas_gauge()))]);
                reply.insert("Diagnostics".into(), Value::Dictionary(gauge));
            }
            "IORegistry" => {
                let registry = Dictionary::from_iter([("IORegistry", Value::Dictionary(battery_entry(phone)))]);
                reply.insert("Diagnostics".into(), Value::Dictionary(registry));
            }
            _ => reply = Dictionary::from_iter([("Status", Value::from("UnknownRequest"))]),
        }
        plist_stream::write(&mut stream, &Value::Dictionary(reply)).await?;
        if name == "Goodbye" || goes_away.is_some() && !waits {
            break;
        }
    }
    match goes_away.as_deref() {
        Some("Restart") => phone.restart(),
        Some(_) => phone.power_off(),
        None => {}
    }
    Ok(())
}

fn gas_gauge() -> Dictionary {
    Dictionary::from_iter([
        ("CycleCount", Value::from(120_u64)),
        ("DesignCapacity", Value::from(3274_u64)),
        ("FullChargeCapacity", Value::from(96_u64)),
        ("Status", Value::from("Success")),
    ])
}

fn battery_entry(phone: &Phone) -> Dictionary {
    let battery = |key| phone.lockdown_value("com.apple.mobile.battery", key).unwrap_or(Value::Boolean(false));
    Dictionary::from_iter([
        ("CurrentCapacity", battery("BatteryCurrentCapacity")),
        ("CycleCount", Value::from(120_u64)),
        ("DesignCapacity", Value::from(3274_u64)),
        ("ExternalConnected", battery("ExternalConnected")),
        ("IsCharging", battery("BatteryIsCharging")),
        ("MaxCapacity", Value::from(100_u64)),
        ("Temperature", Value::from(2_800_u64)),
    ])
}

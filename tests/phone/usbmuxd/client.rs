//! One connection of a client to usbmuxd.

use std::{collections::HashSet, io};

use plist::{Dictionary, Value};
use tokio::net::UnixStream;

use super::{
    Shared,
    devices::Device,
    manners::Manner,
    message::{self, Request, ResultNumber},
};
use crate::phone::{lockdownd, services, switches::Freezing};

/// What a port of the phone leads to.
enum Port {
    Lockdownd,
    Service(services::OpenPort),
}

/// Answers requests until the client leaves or the connection becomes one of the phone's ports.
pub(super) async fn serve(shared: &Shared, mut stream: UnixStream) -> io::Result<()> {
    while let Some(request) = message::read(&mut stream).await? {
        let tag = request.tag;
        if let Some(ended) = misbehave(shared, &mut stream, &request).await? {
            if ended {
                return Ok(());
            }
            continue;
        }
        match request.text("MessageType") {
            Some("Listen") => {
                message::write_result(&mut stream, tag, ResultNumber::Ok).await?;
                return listen(shared, stream).await;
            }
            Some("Connect") => match find_port(shared, &request) {
                Ok((device, port)) => {
                    if !device.answers().await {
                        message::write_result(&mut stream, tag, ResultNumber::BadDevice).await?;
                        continue;
                    }
                    message::write_result(&mut stream, tag, ResultNumber::Ok).await?;
                    return run_port(device, port, stream).await;
                }
                Err(number) => message::write_result(&mut stream, tag, number).await?,
            },
            Some(_) => match answer(shared, &request) {
                Ok(body) => message::write(&mut stream, tag, body).await?,
                Err(number) => message::write_result(&mut stream, tag, number).await?,
            },
            None if request.body.is_some() => return Err(io::ErrorKind::InvalidData.into()),
            None => message::write_result(&mut stream, tag, ResultNumber::BadVersion).await?,
        }
    }
    Ok(())
}

/// Bad manners and refusals by script; none if there are none for this request, true if that is the end.
async fn misbehave(shared: &Shared, stream: &mut UnixStream, request: &Request) -> io::Result<Option<bool>> {
    match shared.manners.manner() {
        Manner::Honest => {}
        Manner::Silent => {
            // The client has to lose its patience.
            shared.manners.mended().await;
            return Ok(Some(true));
        }
        Manner::Garbage => {
            message::write_garbage(stream).await?;
            return Ok(Some(false));
        }
    }
    let Some(number) = request.text("MessageType").and_then(|name| shared.manners.refusal(name)) else {
        return Ok(None);
    };
    message::write_number(stream, request.tag, number).await?;
    Ok(Some(false))
}

/// The requests that are answered at once. Success without a body is an error of number 0 here.
fn answer(shared: &Shared, request: &Request) -> Result<Dictionary, ResultNumber> {
    match request.text("MessageType") {
        Some("ListDevices") => {
            let devices = shared.devices.present().iter().map(|device| Value::from(device.attached())).collect();
            Ok(Dictionary::from_iter([("DeviceList", Value::Array(devices))]))
        }
        Some("ReadBUID") => Ok(Dictionary::from_iter([("BUID", Value::from(shared.records.buid()))])),
        Some("ReadPairRecord") => {
            let udid = request.text("PairRecordID").ok_or(ResultNumber::InvalidArgument)?;
            let record = shared.records.read(udid).map_err(|_| ResultNumber::BadDevice)?;
            Ok(Dictionary::from_iter([("PairRecordData", Value::Data(record))]))
        }
        Some("SavePairRecord") => Err(save_pair_record(shared, request)),
        Some("DeletePairRecord") => match request.text("PairRecordID") {
            Some(udid) if shared.records.delete(udid).is_ok() => Err(ResultNumber::Ok),
            Some(_) => Err(ResultNumber::BadDevice),
            None => Err(ResultNumber::InvalidArgument),
        },
        _ => Err(ResultNumber::BadCommand),
    }
}

fn save_pair_record(shared: &Shared, request: &Request) -> ResultNumber {
    let (Some(udid), Some(record)) = (request.text("PairRecordID"), request.data("PairRecordData")) else {
        return ResultNumber::InvalidArgument;
    };
    if shared.records.save(udid, record).is_err() {
        return ResultNumber::InvalidArgument;
    }
    let device = request.number("DeviceID").and_then(|id| shared.devices.by_id(id));
    if let Some(device) = device.filter(|device| device.phone.udid() == udid) {
        shared.records.tell_paired(device.id);
    }
    ResultNumber::Ok
}

/// Tells of phones as they come and go, until the client closes or says another word, which it may not.
async fn listen(shared: &Shared, mut stream: UnixStream) -> io::Result<()> {
    let mut present = shared.devices.subscribe();
    let mut paired = shared.records.paired();
    let mut known = HashSet::new();
    loop {
        let devices = present.borrow_and_update().clone();
        let ids: HashSet<u32> = devices.iter().map(|device| device.id).collect();
        for id in known.difference(&ids) {
            message::write(&mut stream, 0, about_device("Detached", *id)).await?;
        }
        for device in devices.iter().filter(|device| !known.contains(&device.id)) {
            message::write(&mut stream, 0, device.attached()).await?;
        }
        known = ids;
        tokio::select! {
            changed = present.changed() => changed.map_err(io::Error::other)?,
            Ok(id) = paired.recv() => message::write(&mut stream, 0, about_device("Paired", id)).await?,
            readable = stream.readable() => {
                readable?;
                match stream.try_read(&mut [0]) {
                    Ok(0) => return Ok(()),
                    Ok(_) => return message::write_result(&mut stream, 0, ResultNumber::BadCommand).await,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

fn about_device(message_type: &str, id: u32) -> Dictionary {
    Dictionary::from_iter([("MessageType", Value::from(message_type)), ("DeviceID", Value::from(u64::from(id)))])
}

/// `PortNumber` is a 16 bit number in network byte order, read as if it were in the host's.
fn find_port(shared: &Shared, request: &Request) -> Result<(Device, Port), ResultNumber> {
    let id = request.number("DeviceID").ok_or(ResultNumber::BadDevice)?;
    let swapped = request.number("PortNumber").ok_or(ResultNumber::BadCommand)?;
    let number = u16::from_be(u16::try_from(swapped).map_err(|_| ResultNumber::ConnectionRefused)?);
    let device = shared.devices.by_id(id).ok_or(ResultNumber::BadDevice)?;
    let port = match number {
        lockdownd::PORT => Port::Lockdownd,
        number => {
            let open = device.phone.services().ports.take(number, device.link);
            Port::Service(open.ok_or(ResultNumber::ConnectionRefused)?)
        }
    };
    Ok((device, port))
}

/// The socket is now the phone's port, for as long as the cable stays in.
async fn run_port(device: Device, port: Port, stream: UnixStream) -> io::Result<()> {
    let mut link = device.phone.link();
    let stream = Freezing::new(&device.phone, stream);
    let served = async {
        match port {
            Port::Lockdownd => lockdownd::serve(&device.phone, stream).await,
            Port::Service(open) => services::serve(&device.phone, open, stream).await,
        }
    };
    tokio::select! {
        _ = link.wait_for(|link| *link != device.link) => Ok(()),
        served = served => served,
    }
}

//! How a simulated phone misbehaves, on demand.

use std::time::Duration;

/// One way to go wrong; what may happen beside a fault is a switch of the phone ([`super::switches`]). Byte counts are of
/// the plain mobilebackup2 stream that the phone has sent since the fault was set.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The cable comes out after this many bytes. Happens once; the phone stays away until plugged in again.
    UnplugAt { bytes: u64 },
    /// Nothing more is sent after this many bytes, though the link stays up.
    SilentAt { bytes: u64 },
    /// Nothing more is sent after this many bytes until the test lets it go on, by `Phone::go_on`.
    PauseAt { bytes: u64 },
    /// The link is dead after this many bytes, as by `Phone::freeze`. Happens once.
    FreezeAt { bytes: u64 },
    /// A backup ends with this `ErrorCode` and `ErrorDescription` after the files were sent, and a restore after they came.
    FinalError { code: i64, text: String },
    /// `DLMessageDisconnect` in place of the final status.
    DisconnectWithoutStatus,
    /// The link carries no more than this, each way.
    SlowLink { bytes_per_second: u64 },
    /// The phone is locked: `PasswordProtected` is true and StartService without an escrow bag is refused with it;
    /// with the escrow bag mobilebackup2 ends with 208.
    Locked,
    /// The passcode sheet comes up before a backup, a restore or a change of the backup password (notification_proxy
    /// presented / dismissed).
    PasscodeSheet { answer: PasscodeAnswer },
    /// The first upload names this device path / this file name instead of its own.
    HostilePath { device: String, file: String },
    /// A `DLMessageMoveItems` names these.
    HostileMove { from: String, to: String },
    /// A `DLMessageRemoveItems` names this.
    HostileRemove { path: String },
    /// A `DLMessageDownloadFiles` asks for this file of the host.
    HostileDownload { path: String },
    /// The first upload announces a block of this length.
    BlockLength { bytes: u32 },
    /// The first upload announces a name of this length.
    NameLength { bytes: u32 },
    /// A DeviceLink message announces this length.
    MessageLength { bytes: u32 },
    /// A DeviceLink message is no plist.
    MessageBroken,
    /// A message type nobody knows; ends in error 1 when the answer is not an error status.
    UnknownMessage,
    /// The file at this place of the data set can't be read.
    FileUnreadable { index: usize, manner: Unreadable },
    /// Success is claimed though the file at this place of the data set was never sent.
    FileForgotten { index: usize },
    /// The file at this place of the data set ends in its middle, without a success code.
    CutFile { index: usize, ending: CutEnding },
    /// The file at this place of the data set is sent and never moved into place; its snapshot goes as usual, and success
    /// is claimed.
    MoveLost { index: usize },
    /// The row of the file at this place of the data set has another `Digest` than that of what is sent, in every backup.
    WrongDigest { index: usize },
    /// `LastModified` and `Size` in the row of the file at this place of the data set differ from those of the backup
    /// before, though nothing is sent.
    RowTouched { index: usize },
    /// The phone believes that it needs this much room and asks for `DLMessagePurgeDiskSpace`.
    SpaceNeeded { bytes: u64 },
    /// The phone stays silent for this long before its first message.
    SilentStart { for_time: Duration },
}

/// What follows in place of the success code when a file is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutEnding {
    /// The zero length that ends the list; the files behind it go in the next one. Clients that take it for the end of the
    /// file wait for more, and so does the phone (idevicebackup2, idevice).
    EndOfList,
    /// The name of the next file, or the end of the list if there is none.
    NextName,
}

/// What the person does with the passcode sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasscodeAnswer {
    /// Types it; the backup goes on. The test decides when, by `Phone::enter_passcode`.
    EnteredWhenTold,
    /// Cancels: 208.
    Cancelled,
    /// Types it as soon as the person is there (`Phone::set_person_present`); 208 for a time-out when nobody came for so
    /// long.
    EnteredWhenPresent { patience: Duration },
    /// Nobody types anything for so long: 208 for a time-out.
    TimedOut { after: Duration },
}

/// What the phone says of a file that it can't read, and what it makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable {
    /// 0x0b "Input/output error (5)" or 0x06 "No such file or directory".
    pub code: u8,
    /// Bytes of its content that come before the code.
    pub bytes_before: u64,
    /// It is moved into place, and the phone looks for it at the end: hosts leave an empty file or a part of it.
    pub moved: bool,
    /// Its row is in the manifest, without a `Digest`.
    pub listed: bool,
    /// After the last batch the backup ends with 104.
    pub fatal: bool,
}

impl Unreadable {
    /// Not moved, and its row is left out; what the host has of it goes.
    pub const LEFT_OUT: Self = Self { moved: false, listed: false, ..Self::USUAL };
    /// Not moved, and its row stays all the same; what the host has of it stays, too.
    pub const ONLY_LISTED: Self = Self { moved: false, ..Self::USUAL };
    /// As iOS 17 does it, in a backup that ends well (pymobiledevice3 755).
    const USUAL: Self = Self { code: 0x0B, bytes_before: 0, moved: true, listed: true, fatal: false };
}

impl Default for Unreadable {
    fn default() -> Self {
        Self::USUAL
    }
}

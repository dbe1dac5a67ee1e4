//! `ChangePassword`: switches backup encryption on and off, or changes the password.

use super::{devicelink::Link, engine::blocking, misbehave, stop::Stop};
use crate::phone::{Event, Stream};

/// What computers observe to look at `com.apple.mobile.backup` again (libimobiledevice `notification_proxy.h`).
const DOMAIN_CHANGED: &str = "com.apple.mobile.backup.domain_changed";

/// On with a new password only, off with the old one only. As for a backup, the phone wants its passcode first.
pub(super) async fn change<S: Stream>(
    link: &mut Link<'_, S>,
    old: Option<&str>,
    new: Option<&str>,
) -> Result<(), Stop> {
    misbehave::unlock(link).await?;
    let phone = link.phone();
    if phone.backup_password().as_deref() != old {
        return Err(Stop::refused(207, "Invalid password (MBErrorDomain/207)"));
    }
    let (changed, password) = (phone.clone(), new.map(str::to_owned));
    // The derivation of the real key takes seconds.
    blocking(move || changed.set_backup_password(password.as_deref())).await?;
    drop(phone.notifications().send(DOMAIN_CHANGED.into()));
    phone.tell(Event::BackupPasswordChanged { encrypts: new.is_some() });
    phone.gets_busy();
    Ok(())
}

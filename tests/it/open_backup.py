"""Opens an encrypted backup with iphone_backup_decrypt: BACKUP PASSWORD OUTPUT. Leaves Manifest.db and every file.

Files lie below their ids: not every name of a phone is one that this disk allows.
"""

import sys
from pathlib import Path

from iphone_backup_decrypt import EncryptedBackup

folder, password, output = sys.argv[1:]
backup = EncryptedBackup(backup_directory=folder, passphrase=password)
backup.test_decryption()
backup.save_manifest_file(str(Path(output, "Manifest.db")))
files = Path(output, "files")
files.mkdir()
backup.extract_files(
    relative_paths_like="%",
    output_folder=str(files),
    filter_callback=lambda *, file_id, **_: str(files / file_id),
)

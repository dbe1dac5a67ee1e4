"""Opens an encrypted backup with iphone_backup_decrypt: BACKUP PASSWORD OUTPUT. Leaves Manifest.db and every file."""

import sys
from pathlib import Path

from iphone_backup_decrypt import EncryptedBackup

folder, password, output = sys.argv[1:]
backup = EncryptedBackup(backup_directory=folder, passphrase=password)
backup.test_decryption()
backup.save_manifest_file(str(Path(output, "Manifest.db")))
backup.extract_files(
    relative_paths_like="%",
    output_folder=str(Path(output, "files")),
    preserve_folders=True,
    domain_subfolders=True,
)

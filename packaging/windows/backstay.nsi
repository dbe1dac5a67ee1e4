; The installer for Windows, made by packaging/windows/build-installer. NSIS rather than WiX: it is compiled and thus
; checked on Linux as well, and an installation for one person needs no administrator.
; Silently: backstay-setup.exe /S, and "$INSTDIR\uninstall.exe" /S.
Unicode true
!include MUI2.nsh
!include LogicLib.nsh

Name "Backstay"
OutFile "${OUTPUT}"
InstallDir "$LOCALAPPDATA\Programs\Backstay"
RequestExecutionLevel user
SetCompressor /SOLID lzma
ManifestDPIAware true

VIProductVersion "${VERSION}.0"
VIAddVersionKey ProductName "Backstay"
VIAddVersionKey FileDescription "Quiet, verified iPhone backups"
VIAddVersionKey FileVersion "${VERSION}"
VIAddVersionKey LegalCopyright "The Backstay developers. MIT or Apache-2.0."

!define UNINSTALL "Software\Microsoft\Windows\CurrentVersion\Uninstall\Backstay"
!define MUI_ICON "${FILES}\backstay.ico"
!define MUI_UNICON "${FILES}\backstay.ico"
!define MUI_FINISHPAGE_RUN "$INSTDIR\backstay.exe"
!define MUI_FINISHPAGE_RUN_PARAMETERS "login enable"
!define MUI_FINISHPAGE_RUN_TEXT "Start Backstay now and at every login"
!define MUI_FINISHPAGE_TEXT "An iPhone is reached through Apple's own driver: install $\"Apple Devices$\" or iTunes from the Microsoft Store if you have neither."
!insertmacro MUI_PAGE_DIRECTORY
!insertmacro MUI_PAGE_INSTFILES
!insertmacro MUI_PAGE_FINISH
!insertmacro MUI_UNPAGE_CONFIRM
!insertmacro MUI_UNPAGE_INSTFILES
!insertmacro MUI_LANGUAGE "English"

; Windows holds on to the file of a running program. The daemon is ended by its own number, and a backup that is broken
; off leaves the last good one as it is; the companion keeps nothing and has no window to close. Anything else, a restore
; for one, is a person's own work: it is waited for. $1 is 0 when the daemon starts at login, $2 when the companion ran.
!macro EndRunning
    StrCpy $1 1
    StrCpy $2 1
    ${If} ${FileExists} "$INSTDIR\backstay.exe"
        nsExec::Exec '"$INSTDIR\backstay.exe" login status'
        Pop $1
        nsExec::Exec '"$INSTDIR\backstay.exe" login stop'
        Pop $0
        nsExec::Exec 'taskkill /F /IM backstay-tray.exe'
        Pop $2
        StrCpy $3 0
        ${Do}
            ; Nobody may write into a program that runs.
            ClearErrors
            FileOpen $0 "$INSTDIR\backstay.exe" a
            ${IfNot} ${Errors}
                FileClose $0
                ${ExitDo}
            ${EndIf}
            IntOp $3 $3 + 1
            ${If} $3 < 20
                ; What was ended a moment ago may not be gone yet.
                Sleep 100
            ${ElseIf} ${Cmd} `MessageBox MB_RETRYCANCEL|MB_ICONEXCLAMATION "Backstay is still at work, with a restore perhaps. Let it finish, then try again." /SD IDCANCEL IDCANCEL`
                !insertmacro StartAgain
                Abort
            ${EndIf}
        ${Loop}
    ${EndIf}
!macroend

; Whoever has it start at login has it running again, and who had the icon has it.
!macro StartAgain
    ${If} $1 == 0
        nsExec::Exec '"$INSTDIR\backstay.exe" login start'
        Pop $0
    ${EndIf}
    ${If} $2 == 0
        Exec '"$INSTDIR\backstay-tray.exe"'
    ${EndIf}
!macroend

Section
    !insertmacro EndRunning
    SetOutPath "$INSTDIR"
    File "${FILES}\backstay.exe"
    File "${FILES}\backstay-tray.exe"
    File "${FILES}\backstay.ico"
    File "${FILES}\LICENSE-MIT.txt"
    File "${FILES}\LICENSE-APACHE.txt"
    File "${FILES}\third-party-licences.txt"
    WriteUninstaller "$INSTDIR\uninstall.exe"
    CreateDirectory "$SMPROGRAMS\Backstay"
    CreateShortcut "$SMPROGRAMS\Backstay\Backstay.lnk" "$INSTDIR\backstay-tray.exe" "" "$INSTDIR\backstay.ico"
    ; A line of its own rather than a change of PATH, which no uninstaller undoes safely.
    CreateShortcut "$SMPROGRAMS\Backstay\Backstay command line.lnk" "$SYSDIR\cmd.exe" \
        '/K "set PATH=$INSTDIR;%PATH%& backstay --help"' "$INSTDIR\backstay.ico"
    WriteRegStr HKCU "${UNINSTALL}" DisplayName "Backstay"
    WriteRegStr HKCU "${UNINSTALL}" DisplayVersion "${VERSION}"
    WriteRegStr HKCU "${UNINSTALL}" DisplayIcon "$INSTDIR\backstay.ico"
    WriteRegStr HKCU "${UNINSTALL}" Publisher "The Backstay developers"
    WriteRegStr HKCU "${UNINSTALL}" UninstallString '"$INSTDIR\uninstall.exe"'
    WriteRegStr HKCU "${UNINSTALL}" QuietUninstallString '"$INSTDIR\uninstall.exe" /S'
    WriteRegDWORD HKCU "${UNINSTALL}" NoModify 1
    WriteRegDWORD HKCU "${UNINSTALL}" NoRepair 1
    !insertmacro StartAgain
SectionEnd

; Files by name and folders only when empty: a backup that somebody put there stays.
Section Uninstall
    !insertmacro EndRunning
    nsExec::Exec '"$INSTDIR\backstay.exe" login disable'
    Pop $0
    Delete "$INSTDIR\backstay.exe"
    Delete "$INSTDIR\backstay-tray.exe"
    Delete "$INSTDIR\backstay.ico"
    Delete "$INSTDIR\LICENSE-MIT.txt"
    Delete "$INSTDIR\LICENSE-APACHE.txt"
    Delete "$INSTDIR\third-party-licences.txt"
    Delete "$INSTDIR\uninstall.exe"
    RMDir "$INSTDIR"
    Delete "$SMPROGRAMS\Backstay\Backstay.lnk"
    Delete "$SMPROGRAMS\Backstay\Backstay command line.lnk"
    RMDir "$SMPROGRAMS\Backstay"
    DeleteRegKey HKCU "${UNINSTALL}"
SectionEnd

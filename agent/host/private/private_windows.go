package private

import (
	"fmt"
	"io/fs"

	"golang.org/x/sys/windows"
)

// restrict gives a folder, and all that is made in it, a protected access list: the system, administrators and the account
// that runs this program, nobody else. It takes ownership too, because an owner can always change the list: a folder made in
// advance by another user below C:\ProgramData must not stay that user's.
func restrict(path string) error {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return err
	}
	sid := user.User.Sid
	return protectedList(path, sid, fmt.Sprintf("D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;%s)", sid))
}

// forPrograms gives a folder, and all that is made in it, a protected access list: the system and administrators may do everything, users
// read and run. Administrators own it.
func forPrograms(path string) error {
	administrators, err := windows.CreateWellKnownSid(windows.WinBuiltinAdministratorsSid)
	if err != nil {
		return err
	}
	return protectedList(path, administrators, "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)")
}

// protectedList gives a folder an owner and an access list, in the security descriptor language, that takes nothing over from above.
func protectedList(path string, owner *windows.SID, list string) error {
	sd, err := windows.SecurityDescriptorFromString(list)
	if err != nil {
		return err
	}
	acl, _, err := sd.DACL()
	if err != nil {
		return err
	}
	const what = windows.OWNER_SECURITY_INFORMATION | windows.DACL_SECURITY_INFORMATION | windows.PROTECTED_DACL_SECURITY_INFORMATION
	return windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, what, owner, nil, acl, nil)
}

// othersMay is always 0: on Windows the folder's access list decides, and Go's mode bits say nothing of it.
func othersMay(fs.FileMode) fs.FileMode { return 0 }

// SyncDir does nothing: NTFS journals the rename, and a folder cannot be flushed without administrator's rights.
func SyncDir(string) error { return nil }

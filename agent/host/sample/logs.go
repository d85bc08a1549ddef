package sample

import "strings"

// Instance is the name of the NES instance of a sample host.
const Instance = "nes_lyon"

// TerminalLogs are log files of a user terminal by path: below "profiles" (C:\Users) and "public" (C:\Users\Public\AppData\Nymi). user is
// whose profile it is. The guide prints few lines of them, so that the rest is in the same manner and not what the vendor writes.
func TerminalLogs(user string) map[string]string {
	nem := "profiles/" + user + "/AppData/Roaming/Nymi/NEM/Logs/"
	return map[string]string{
		nem + "nem.log": lines(
			"INFO - Nymi Band Application started",
			"INFO - Bluetooth endpoint connected",
			"ERROR - Band message read error, status: 2200: Problem occurred while communicating with server. Could not get NEA certificate from server.",
			"ERROR - Band error: (3010) Operation timed out"),
		nem + "nymi_api.log": lines(
			"INFO - init",
			"WARN - Verifying NEA certs without an NES connection. Some checks will be skipped.",
			`INFO - sending update to nea {"operation":"init","exchange":"30809","status":0,"payload":{},"error":{}}`),
		"profiles/" + user + "/AppData/Roaming/Nymi/unlock/ZipLog/unlock-1.zip": "PK\x05\x06" + strings.Repeat("\x00", 18),
		"public/unlock/Log/credential-provider.log": lines(
			"INFO - operator authenticated: success",
			"WARN - operator authenticated: Band is absent"),
	}
}

// NESLogs are log files of a NES host by path: below "programdata" (C:\ProgramData\Nymi).
func NESLogs() map[string]string {
	return map[string]string{
		"programdata/NESg2.install/log/install.log": lines(
			"INFO - Installation of instance "+Instance,
			"INFO - Installation complete"),
		"programdata/NESg2.Admin/Default_Web_Site/" + Instance + "/log/nes.log": lines(
			"INFO - policy read",
			"WARN - Password=sample-only was refused for user nes"),
		"programdata/NEnrollment/Default_Web_Site/" + Instance + "_ES/log/enrollment.log": lines(
			"INFO - request for a certificate",
			"ERROR - The server could not be contacted."),
		"programdata/AuthenticationService/Default_Web_Site/" + Instance + "_AS/log/authentication.log": lines(
			"ERROR - The LDAP server is unavailable."),
	}
}

// lines ends each line as Windows does.
func lines(texts ...string) string {
	return strings.Join(texts, "\r\n") + "\r\n"
}

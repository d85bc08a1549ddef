package detect

import "testing"

func TestNamesOfPeopleAndSecretsAreMasked(t *testing.T) {
	for text, want := range map[string]string{
		`CORP\jane`:                               `CORP\***`,
		`runs as "corp.example\svc nes"`:          `runs as "corp.example\*** nes"`,
		`jane.doe@corp.example has the lock`:      `*** has the lock`,
		`C:\Users\jane\nbe.toml`:                  `C:\Users\(user)\nbe.toml`,
		`C:\ProgramData\Nymi\nbe.toml`:            `C:\ProgramData\Nymi\nbe.toml`,
		`\\files\share`:                           `\\files\share`,
		`NT AUTHORITY\LocalService`:               `NT AUTHORITY\LocalService`,
		`HKLM\SOFTWARE\Nymi`:                      `HKLM\SOFTWARE\Nymi`,
		`Password=hunter2; server=sql-1`:          `Password=***; server=sql-1`,
		`https://jane:hunter2@nes.example/nes`:    `https://***@nes.example/nes`,
		`CN=nes-lyon-1.example, O=Nymi`:           `CN=nes-lyon-1.example, O=Nymi`,
		`https://nes-lyon-1.example/nes/console/`: `https://nes-lyon-1.example/nes/console/`,
	} {
		if got := mask(text); got != want {
			t.Errorf("%s becomes %s, want %s", text, got, want)
		}
	}
}

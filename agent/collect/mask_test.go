package collect

import (
	"strings"
	"testing"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const webConfig = `<?xml version="1.0"?>
<!-- password="in a comment" -->
<configuration>
  <connectionStrings>
    <add name="Nes" connectionString="Data Source=sql1;User ID=nes;Password=hunter2;Encrypt=true"
         providerName='System.Data.SqlClient'/>
  </connectionStrings>
  <appSettings>
    <add key="LdapPassword" value="hunter3" />
    <add value="hunter4" key='ApiSecretForNea'/>
    <add key="LogFolder" value="C:\logs"/>
  </appSettings>
  <system.web>
    <machineKey validationKey="hunter5" decryptionKey = 'hunter6' validation="SHA1"/>
    <identity impersonate="true" userName="svc" password="hunter7"/>
  </system.web>
  <applicationSettings>
    <setting name="ClientSecret" serializeAs="String">
      <value>hunter8</value>
    </setting>
    <setting name="AuthenticationService" serializeAs="String"><value>https://nes/as/</value></setting>
  </applicationSettings>
  <mail><smtpPassword>hunter9</smtpPassword></mail>
  <proxy url="https://svc:hunter10@proxy.example:8080/"/>
  <system.diagnostics><switches><add name="Global" value="Verbose"/></switches></system.diagnostics>
</configuration>
`

func TestNoSecretOfAConfigurationIsCollected(t *testing.T) {
	for name, content := range map[string]string{"plain": webConfig, "with a mark": "\xef\xbb\xbf" + webConfig, "two-byte characters": utf16le(webConfig)} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.put("nes/web.config", content, 0)
			files, told, _ := m.collect(&actionv1.Collect{Sources: []string{"instance-config"}, Redact: true})
			text := files["instance-config/nes/web.config"]
			if strings.Contains(text, "hunter") || strings.Contains(text, "in a comment") {
				t.Errorf("a secret is in the archive:\n%s", text)
			}
			for _, kept := range []string{`key="LogFolder" value="C:\logs"`, "https://nes/as/", `<add name="Global" value="Verbose"/>`, `validation="SHA1"`, `userName="svc"`, "proxy.example:8080"} {
				if !strings.Contains(text, kept) {
					t.Errorf("%s is no longer there; the vendor needs it", kept)
				}
			}
			if !told.Masked || !strings.HasSuffix(told.Files[0].Note, "values masked") {
				t.Errorf("the manifest says %+v, want that values were masked", told)
			}
		})
	}
}

func TestWhatCannotBeMaskedStaysOut(t *testing.T) {
	m := newMachine(t)
	m.put("nes/web.config", "<a password=\"x\"/>\x00\xff", 0)
	m.put("nenrollment/web.config", "\xff\xfe<", 0)
	m.put("authenticationservice/web.config", strings.Repeat(" ", maxConfig+1), 0)
	files, told, _ := m.collect(&actionv1.Collect{Sources: []string{"instance-config"}, MaxBytes: MaxBytes, Redact: true})
	if len(files) != 0 {
		t.Errorf("the archive holds %v, want nothing that cannot be masked", files)
	}
	for _, f := range told.Files {
		if !strings.Contains(f.Note, "left out: it cannot be masked") {
			t.Errorf("%s has the note %q, want that it cannot be masked", f.Name, f.Note)
		}
	}
}

func TestMaskingTwiceChangesNothingMore(t *testing.T) {
	once, n, err := mask([]byte(webConfig))
	if err != nil || n < 9 {
		t.Fatalf("%d values masked, %v; want all of them", n, err)
	}
	again, n, err := mask(once)
	if err != nil || n != 0 || string(again) != string(once) {
		t.Errorf("masking once more masks %d values, %v; want none", n, err)
	}
}

func TestTOMLIsMasked(t *testing.T) {
	text, n, err := mask([]byte("agent_url = \"wss://svc:hunter2@agent.example/socket\" # fine\nproxy_password = 'hunter3'\nrssi_tap_threshold = -42\n"))
	if err != nil || n != 2 || strings.Contains(string(text), "hunter") || !strings.Contains(string(text), "rssi_tap_threshold = -42") {
		t.Errorf("masked %d: %s, %v; want the two secrets gone and nothing else", n, text, err)
	}
}

func FuzzMask(f *testing.F) {
	f.Add(webConfig)
	f.Add(utf16le("<a password='x'/>"))
	f.Add(`<add key="password" value=">`)
	f.Fuzz(func(t *testing.T, text string) {
		out, _, err := mask([]byte(text))
		if err != nil {
			return
		}
		if _, n, err := mask(out); err != nil || n != 0 {
			t.Errorf("what was masked has %d more to mask, %v", n, err)
		}
	})
}

package configfile

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// webConfig is a web.config as people leave it: both quotes, comments that look like switches, references, mixed line ends.
const webConfig = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<configuration>\r\n" +
	"  <!-- <add name=\"Global\" value=\"Error\"/> -->\r\n" +
	"  <appSettings><add key=\"Global\" value=\"none\"/></appSettings>\n" +
	"  <system.diagnostics>\r\n\t<switches>\r\n" +
	"      <add   name=\"Global\"\r\n\t\tvalue = 'Warning'   />\r\n" +
	"      <add value=\"Error\" name='Authentication'></add>\n" +
	"      <add name=\"Certificate&#69;nrollment\" value=\"a &gt; 'b' &amp; &quot;c&quot;\"/>\r\n" +
	"    </switches><trace autoflush=\"true\" />\n  </system.diagnostics>\r\n" +
	"  <applicationSettings>\r\n    <Nymi.Properties.Settings>\r\n" +
	"      <setting name=\"AuthUrl\" serializeAs=\"String\">\r\n        <value>https://nes/AS/?a=1&amp;b=2</value>\r\n      </setting>\r\n" +
	"      <setting name=\"Empty\"><value /></setting>\r\n" +
	"      <setting name=\"Raw\"><value><![CDATA[a<b]]></value></setting>\r\n" +
	"      <setting name=\"List\" serializeAs=\"Xml\"><value><ArrayOfString/></value></setting>\r\n" +
	"    </Nymi.Properties.Settings>\r\n  </applicationSettings>\r\n</configuration>"

func TestParseXML(t *testing.T) {
	switchesWant := map[string]string{"Global": "Warning", "Authentication": "Error", "CertificateEnrollment": `a > 'b' & "c"`}
	if diff := cmp.Diff(switchesWant, values(t, switchesFormat, webConfig)); diff != "" {
		t.Errorf("switches (-want +got):\n%s", diff)
	}
	settingsWant := map[string]string{"AuthUrl": "https://nes/AS/?a=1&b=2", "Empty": "", "Raw": "a<b"}
	if diff := cmp.Diff(settingsWant, values(t, settingsFormat, webConfig)); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	f, err := Parse(switchesFormat, []byte(webConfig))
	if err != nil || f.Values[0].GetLine() != 8 || f.Values[1].GetLine() != 9 {
		t.Errorf("got %v, %v, want the switches of lines 8 and 9 first", f.Values, err)
	}
}

func TestEditXML(t *testing.T) {
	for name, c := range map[string]struct {
		format   actionv1.ConfigFormat
		change   *actionv1.ConfigChange
		old, new string
	}{
		"an attribute in single quotes":    {switchesFormat, change("Global", "Warning", "Verbose"), "'Warning'", "'Verbose'"},
		"a quote of the kind that is used": {switchesFormat, change("Global", "Warning", `it's "<&>"`), "'Warning'", `'it&apos;s "&lt;&amp;>"'`},
		"an attribute before the name":     {switchesFormat, change("Authentication", "Error", `"'`), `value="Error" name`, `value="&quot;'" name`},
		"a number is a value":              {switchesFormat, change("Authentication", "Error", "4"), `value="Error" name`, `value="4" name`},
		"an attribute with references":     {switchesFormat, change("CertificateEnrollment", `a > 'b' & "c"`, "Error"), "a &gt; 'b' &amp; &quot;c&quot;", "Error"},
		"letters of all the world":         {switchesFormat, change("Global", "Warning", "Größe\t1"), "'Warning'", "'Größe&#9;1'"},
		"the text of an element":           {settingsFormat, change("AuthUrl", "https://nes/AS/?a=1&b=2", "https://n2/<>&\"'"), "https://nes/AS/?a=1&amp;b=2", "https://n2/&lt;&gt;&amp;\"'"},
		"an element without an end tag":    {settingsFormat, &actionv1.ConfigChange{Key: "Empty", Before: new(string), After: text("x")}, "<value />", "<value >x</value>"},
		"the text of an element goes":      {settingsFormat, &actionv1.ConfigChange{Key: "AuthUrl", Before: text("https://nes/AS/?a=1&b=2"), After: text("")}, "https://nes/AS/?a=1&amp;b=2", ""},
	} {
		t.Run(name, func(t *testing.T) {
			want := strings.Replace(webConfig, c.old, c.new, 1)
			changes := []*actionv1.ConfigChange{c.change}
			got, err := Edit(c.format, []byte(webConfig), changes)
			if err != nil || string(got) != want {
				t.Fatalf("error %v (-want +got):\n%s", err, cmp.Diff(want, string(got)))
			}
			if back, err := Restore(c.format, []byte(webConfig), got, changes); err != nil || string(back) != webConfig {
				t.Errorf("undone: error %v (-want +got):\n%s", err, cmp.Diff(webConfig, string(back)))
			}
			meanwhile := strings.Replace(webConfig, "autoflush=\"true\"", "autoflush='false' x=\"1\"", 1)
			edited := strings.Replace(meanwhile, c.old, c.new, 1)
			if back, err := Restore(c.format, []byte(webConfig), []byte(edited), changes); err != nil || string(back) != meanwhile {
				t.Errorf("undone after somebody's change elsewhere: error %v (-want +got):\n%s", err, cmp.Diff(meanwhile, string(back)))
			}
		})
	}
}

func text(s string) *string { return &s }

func TestEditXMLRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		format actionv1.ConfigFormat
		change *actionv1.ConfigChange
		want   string
	}{
		"another value":          {switchesFormat, change("Global", "Error", "Verbose"), `key "Global": is Warning, the change expects that it is Error`},
		"a key that is missing":  {switchesFormat, change("Globe", "Error", "Verbose"), `key "Globe": is not there`},
		"a new key":              {switchesFormat, change("Globe", "", "Verbose"), "changed, not added or removed"},
		"a key that goes":        {switchesFormat, change("Global", "Warning", ""), "changed, not added or removed"},
		"a raw section":          {settingsFormat, change("Raw", "a<b", "x"), "edited by hand"},
		"a control character":    {settingsFormat, change("AuthUrl", "https://nes/AS/?a=1&b=2", "\x01"), "holds a character"},
		"bytes that are no text": {settingsFormat, change("AuthUrl", "https://nes/AS/?a=1&b=2", "\xff"), "holds a character"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Edit(c.format, []byte(webConfig), []*actionv1.ConfigChange{c.change})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want it to say %q", err, c.want)
			}
		})
	}
}

func TestEncodingsOfXML(t *testing.T) {
	const small = "<?xml version=\"1.0\" encoding=\"%s\"?>\r\n<configuration><system.diagnostics><switches><add name=\"Größe\" value=\"%s\"/></switches></system.diagnostics></configuration>"
	file := func(label, value string) string {
		return strings.Replace(strings.Replace(small, "%s", label, 1), "%s", value, 1)
	}
	for _, bom := range []string{bomUTF16LE, bomUTF16BE} {
		_, enc, err := decode([]byte(bom))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Edit(switchesFormat, enc.encode([]byte(file("utf-16", "Error"))), []*actionv1.ConfigChange{change("Größe", "Error", "𝛼")})
		if want := enc.encode([]byte(file("utf-16", "𝛼"))); err != nil || string(got) != string(want) {
			t.Errorf("UTF-16: got %q, %v, want %q", got, err, want)
		}
	}
	ascii := strings.Replace(file("windows-1252", "Error"), "Größe", "Global", 1)
	got, err := Edit(switchesFormat, []byte(ascii), []*actionv1.ConfigChange{change("Global", "Error", "ö")})
	if want := strings.Replace(ascii, "Error", "&#246;", 1); err != nil || string(got) != want {
		t.Errorf("another encoding, all ASCII: got %q, %v, want %q", got, err, want)
	}
	var m *MalformedError
	if _, err := Parse(switchesFormat, []byte(file("windows-1252", "Error"))); !errors.As(err, &m) || m.Line != 1 {
		t.Errorf("error is %v, want the encoding that the file claims to be refused at line 1", err)
	}
}

func TestMalformedXML(t *testing.T) {
	const open, end = "<configuration>\n<system.diagnostics>\n<switches>\n", "</switches>\n</system.diagnostics>\n</configuration>\n"
	for name, c := range map[string]struct {
		content string
		line    int
		want    string
	}{
		"the vendor's sample":         {"<system.diagnostics>\n<switches>\n</switches>\n<system.diagnostics>\n", 4, "not closed"},
		"curly quotes":                {open + "<add name=“Global” value=“Error”/>\n" + end, 4, "curly quotes"},
		"an unclosed element":         {open + "<add name='a' value='b'>\n" + end, 5, "<add> of line 4 is not closed"},
		"an end without a start":      {open + "</add>\n" + end, 4, "ends element <add>"},
		"two switches of one name":    {open + "<add name='a' value='b'/>\n<add name='a' value='c'/>\n" + end, 5, "second time"},
		"two lists of switches":       {open + "</switches>\n<switches>\n" + end, 5, "second element <switches>"},
		"a switch without a value":    {open + "<add name='a'/>\n" + end, 4, "without a value"},
		"a switch without a name":     {open + "<add value='a'/>\n" + end, 4, "without a name"},
		"an attribute twice":          {open + "<add name='a' value='b' value='c'/>\n" + end, 4, "twice"},
		"a document type":             {"<!DOCTYPE configuration [<!ENTITY e 'x'>]>\n" + open + end, 1, "document type"},
		"an unknown reference":        {open + "<add name='a' value='&e;'/>\n" + end, 4, ""},
		"a < in an attribute":         {open + "<add name='a' value='<'/>\n" + end, 4, ""},
		"two roots":                   {open + end + "<configuration/>\n", 7, "second root"},
		"text behind the root":        {open + end + "x", 7, "outside"},
		"nothing":                     {"", 0, "no root"},
		"a declaration in the middle": {"\n<?xml version='1.0'?>\n" + open + end, 2, "behind other text"},
		"too deep":                    {strings.Repeat("<a>", 200) + strings.Repeat("</a>", 200), 1, "deep"},
		"cut off":                     {open + "<add name='a", 4, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(switchesFormat, []byte(c.content))
			var m *MalformedError
			if !errors.As(err, &m) || m.Line != c.line || !strings.Contains(m.Problem, c.want) {
				t.Errorf("error is %v, want a malformed file at line %d that says %q", err, c.line, c.want)
			}
		})
	}
}

func TestSettingsOfOneNameInTwoGroups(t *testing.T) {
	content := `<configuration><s><A><setting name="Url"><value>1</value></setting></A><B><setting name="Url"><value>2</value></setting></B></s></configuration>`
	if diff := cmp.Diff(map[string]string{"A/Url": "1", "B/Url": "2"}, values(t, settingsFormat, content)); diff != "" {
		t.Errorf("each has its group before its name (-want +got):\n%s", diff)
	}
}

package sample

import (
	_ "embed" // the sample files
	"encoding/binary"
	"strings"
	"unicode/utf16"
)

// The applications of a NES host, which are also the names of the roots of their folders.
const (
	NES            = "nes"
	Enrollment     = "nenrollment"
	Authentication = "authenticationservice"
)

// Applications are the three of them.
func Applications() []string { return []string{NES, Enrollment, Authentication} }

var (
	//go:embed files/nes.web.config
	nesConfig string
	//go:embed files/nenrollment.web.config
	enrollmentConfig string
	//go:embed files/authenticationservice.web.config
	authenticationConfig string
)

// Encoding is how a text file is written.
type Encoding struct {
	// CRLF line ends instead of LF.
	CRLF bool
	// BOM: the text begins with a byte order mark. UTF-16 always does.
	BOM bool
	// UTF16LE and UTF16BE instead of UTF-8.
	UTF16LE, UTF16BE bool
	// NoFinalNewline: the last line does not end.
	NoFinalNewline bool
}

// Windows is how Visual Studio writes a web.config.
func Windows() Encoding { return Encoding{CRLF: true, BOM: true} }

// WebConfig is the web.config of an application.
func WebConfig(application string, e Encoding) string {
	texts := map[string]string{NES: nesConfig, Enrollment: enrollmentConfig, Authentication: authenticationConfig}
	return e.Encode(texts[application])
}

// Encode writes a UTF-8 text with LF line ends as the encoding says. A declaration of UTF-8 is changed to that of UTF-16.
func (e Encoding) Encode(text string) string {
	if e.NoFinalNewline {
		text = strings.TrimSuffix(text, "\n")
	}
	if e.CRLF {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	const mark = "\uFEFF"
	switch {
	case e.UTF16LE:
		return encode16(mark+declared16(text), binary.LittleEndian)
	case e.UTF16BE:
		return encode16(mark+declared16(text), binary.BigEndian)
	case e.BOM:
		return mark + text
	}
	return text
}

func declared16(text string) string {
	return strings.Replace(text, `encoding="utf-8"`, `encoding="utf-16"`, 1)
}

func encode16(text string, order binary.AppendByteOrder) string {
	var bytes []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		bytes = order.AppendUint16(bytes, unit)
	}
	return string(bytes)
}

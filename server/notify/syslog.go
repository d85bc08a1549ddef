package notify

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// syslog sends RFC 5424 messages over TLS, framed as RFC 5425 has it. It says when a message was written, for there is no answer.
type syslog struct {
	cfg  ReceiverConfig
	host string
}

// Facility local0 and the severities of RFC 5424.
const (
	facility = 16
	warning  = 4
	notice   = 5
	// enterprise marks the structured data as ours: the number that is reserved for documentation, for there is no registered one.
	enterprise = "bandfleet@32473"
)

func (s *syslog) send(ctx context.Context, m *message) (answer string, err error) {
	host, _, err := net.SplitHostPort(s.cfg.Server)
	if err != nil {
		return "", err
	}
	checks, err := s.cfg.tlsConfig(host)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	conn, err := (&tls.Dialer{Config: checks}).DialContext(ctx, "tcp", s.cfg.Server)
	if err != nil {
		return "", err
	}
	defer func() {
		if closing := conn.Close(); err == nil && closing != nil {
			answer, err = "", closing
		}
	}()
	if err := conn.SetDeadline(time.Now().Add(sendTimeout)); err != nil {
		return "", err
	}
	text := s.format(m)
	if _, err := conn.Write([]byte(strconv.Itoa(len(text)) + " " + text)); err != nil {
		return "", err
	}
	return "written to " + s.cfg.Server, nil
}

// format writes a message. Texts have one line each and no control characters already.
func (s *syslog) format(m *message) string {
	n := m.notice
	severity := notice
	if urgent(n) {
		severity = warning
	}
	data := []string{enterprise}
	for _, p := range [][2]string{{"id", n.GetId()}, {"site", n.GetSite()}, {"terminal", n.GetTerminalName()}, {"object", n.GetObject()}, {"entry", n.GetEntry()}} {
		if p[1] != "" {
			data = append(data, p[0]+`="`+escaped(p[1])+`"`)
		}
	}
	text := n.GetSummary()
	if m.text != "" {
		text = line(m.text, maxTemplateText)
	}
	return fmt.Sprintf("<%d>1 %s %s fleetd %d %s [%s] \ufeff%s", facility*8+severity, noticeTime(n).UTC().Format("2006-01-02T15:04:05.000Z"),
		word(s.host, 255), os.Getpid(), word(n.GetEvent(), 32), strings.Join(data, " "), text)
}

// urgent events need somebody.
func urgent(n *fleetv1.Notice) bool {
	switch n.GetEvent() {
	case FaultResolved, IncidentResolved, test:
		return false
	}
	return true
}

// escaped writes the value of a parameter of structured data.
func escaped(text string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`).Replace(text)
}

// word makes a text a field of a header: printable ASCII without blanks.
func word(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, text)
	if text == "" {
		return "-"
	}
	return text[:min(len(text), most)]
}

package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail"
)

// email sends by SMTP, never without TLS: what it tells is a plant's business, and its password would be anybody's.
type email struct{ cfg ReceiverConfig }

func (e *email) send(ctx context.Context, m *message) (string, error) {
	letter, err := e.letter(m)
	if err != nil {
		return "", refused{err}
	}
	client, err := e.client()
	if err != nil {
		return "", err
	}
	if err := client.DialAndSendWithContext(ctx, letter); err != nil {
		return "", classified(err)
	}
	return "taken by " + e.cfg.Server, nil
}

func (e *email) client() (*mail.Client, error) {
	host, text, err := net.SplitHostPort(e.cfg.Server)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("server %s: its port is no number", e.cfg.Server)
	}
	checks, err := e.cfg.tlsConfig(host)
	if err != nil {
		return nil, err
	}
	options := []mail.Option{mail.WithPort(port), mail.WithTimeout(sendTimeout), mail.WithTLSConfig(checks), mail.WithTLSPolicy(mail.TLSMandatory)}
	if e.cfg.TLS == "tls" {
		options = append(options, mail.WithSSL())
	}
	if e.cfg.User != "" {
		password, err := secret(e.cfg.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("password_file: %w", err)
		}
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(e.cfg.User), mail.WithPassword(string(password)))
	}
	return mail.NewClient(host, options...)
}

// letter is a message as a mail.
func (e *email) letter(m *message) (*mail.Msg, error) {
	letter := mail.NewMsg()
	n := m.notice
	domain := "bandfleet.invalid"
	if _, host, ok := strings.Cut(e.cfg.From, "@"); ok {
		domain = strings.Trim(host, ">")
	}
	letter.SetMessageIDWithValue(n.GetId() + "@" + domain)
	letter.SetDateWithValue(noticeTime(n))
	letter.Subject(subject(m))
	letter.SetBodyString(mail.TypeTextPlain, body(m))
	return letter, errors.Join(letter.From(e.cfg.From), letter.To(e.cfg.To...))
}

func subject(m *message) string {
	if site := m.notice.GetSite(); site != "" {
		return "[" + site + "] " + m.notice.GetSummary()
	}
	return m.notice.GetSummary()
}

func body(m *message) string {
	if m.text != "" {
		return m.text
	}
	n := m.notice
	lines := append([]string{n.GetSummary(), ""}, n.GetDetails()...)
	for _, p := range [][2]string{{"Event", n.GetEvent()}, {"Site", n.GetSite()}, {"Terminal", n.GetTerminalName()}, {"About", n.GetObject()}, {"Notice", n.GetId()}} {
		if p[1] != "" {
			lines = append(lines, p[0]+": "+p[1])
		}
	}
	return strings.Join(lines, "\r\n") + "\r\n"
}

// classified tells what may be taken later from what never will: a mail server's answers of the 5xx kind to a message.
func classified(err error) error {
	var sending *mail.SendError
	if errors.As(err, &sending) && !sending.IsTemp() && sending.Reason != mail.ErrConnCheck && sending.ErrorCode() >= 550 {
		return refused{err}
	}
	return err
}

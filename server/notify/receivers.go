package notify

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// The kinds of receivers.
const (
	Webhook = "webhook"
	Syslog  = "syslog"
	Email   = "email"
	File    = "file"
)

// ReceiverConfig is a receiver in the server's configuration. Secrets are in files, which are read anew for each try.
type ReceiverConfig struct {
	// Name is what routes call it: lower case letters, digits and dashes.
	Name string `mapstructure:"name" yaml:"name"`
	// Kind is "webhook", "syslog", "email" or "file".
	Kind string `mapstructure:"kind" yaml:"kind"`
	// URL is the webhook's address; https, or http to this machine itself.
	URL string `mapstructure:"url" yaml:"url"`
	// SecretFile holds the key that a webhook's messages are signed with (HMAC-SHA256).
	SecretFile string `mapstructure:"secret_file" yaml:"secret_file"`
	// Server is HOST:PORT of the syslog receiver (TLS) or the mail server.
	Server string `mapstructure:"server" yaml:"server"`
	// CAFile holds the certificates that the receiver's must come from, PEM; empty means the system's.
	CAFile string `mapstructure:"ca_file" yaml:"ca_file"`
	// TLS is "starttls" (the default of e-mail) or "tls".
	TLS string `mapstructure:"tls" yaml:"tls"`
	// User and PasswordFile sign in at the mail server; both or neither.
	User         string   `mapstructure:"user" yaml:"user"`
	PasswordFile string   `mapstructure:"password_file" yaml:"password_file"`
	From         string   `mapstructure:"from" yaml:"from"`
	To           []string `mapstructure:"to" yaml:"to"`
	// Path is the file that lines of JSON are added to.
	Path string `mapstructure:"path" yaml:"path"`
}

var validName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// CheckReceivers reports everything that is wrong with the receivers of a configuration.
func CheckReceivers(receivers []ReceiverConfig) error {
	var problems []error
	seen := map[string]bool{}
	for i, r := range receivers {
		what := fmt.Sprintf("receivers[%d] %q", i, r.Name)
		if !validName.MatchString(r.Name) {
			problems = append(problems, fmt.Errorf("%s: name: want lower case letters, digits and dashes, at most 63", what))
		}
		if seen[r.Name] {
			problems = append(problems, fmt.Errorf("%s: name: is used twice", what))
		}
		seen[r.Name] = true
		for _, problem := range r.problems() {
			problems = append(problems, fmt.Errorf("%s: %s", what, problem))
		}
	}
	return errors.Join(problems...)
}

// problems says what is wrong with one receiver, as "key: clause".
func (r *ReceiverConfig) problems() []string {
	switch r.Kind {
	case Webhook:
		return some(webhookURL(r.URL), needed("secret_file", r.SecretFile), r.only("url", "secret_file", "ca_file"))
	case Syslog:
		return some(hostPort(r.Server), r.only("server", "ca_file"))
	case Email:
		return some(append([]string{
			hostPort(r.Server), address("from", r.From), r.tlsWord(), r.bothOrNeither(),
			r.only("server", "ca_file", "tls", "user", "password_file", "from", "to"),
		}, recipients(r.To)...)...)
	case File:
		return some(absolute(r.Path), r.only("path"))
	}
	return []string{fmt.Sprintf("kind: is %q, want webhook, syslog, email or file", r.Kind)}
}

// some returns those that are not empty.
func some(problems ...string) (out []string) {
	for _, p := range problems {
		if p != "" {
			out = append(out, p)
		}
	}
	return out
}

// only says which keys are set that this kind of receiver does not have.
func (r *ReceiverConfig) only(keys ...string) string {
	set := map[string]bool{
		"url": r.URL != "", "secret_file": r.SecretFile != "", "server": r.Server != "", "ca_file": r.CAFile != "", "tls": r.TLS != "",
		"user": r.User != "", "password_file": r.PasswordFile != "", "from": r.From != "", "to": len(r.To) > 0, "path": r.Path != "",
	}
	for _, key := range keys {
		delete(set, key)
	}
	for _, key := range []string{"url", "secret_file", "server", "ca_file", "tls", "user", "password_file", "from", "to", "path"} {
		if set[key] {
			return fmt.Sprintf("%s: a receiver of kind %s has no such key", key, r.Kind)
		}
	}
	return ""
}

func needed(key, value string) string {
	if value == "" {
		return key + ": is required"
	}
	return ""
}

func webhookURL(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return "url: want an https address without user name, such as https://chat.example.com/hook"
	case u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()):
		return ""
	}
	return "url: want https; plain http is for this machine itself only"
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func hostPort(text string) string {
	if host, port, err := net.SplitHostPort(text); err != nil || host == "" || port == "" {
		return fmt.Sprintf("server: is %q, want HOST:PORT", text)
	}
	return ""
}

func address(key, text string) string {
	if _, err := mail.ParseAddress(text); err != nil {
		return fmt.Sprintf("%s: %q is no mail address", key, text)
	}
	return ""
}

func recipients(to []string) []string {
	if len(to) == 0 {
		return []string{"to: is required: one mail address at least"}
	}
	problems := make([]string, len(to))
	for i, one := range to {
		problems[i] = address("to", one)
	}
	return problems
}

func (r *ReceiverConfig) tlsWord() string {
	if r.TLS != "" && r.TLS != "starttls" && r.TLS != "tls" {
		return fmt.Sprintf("tls: is %q, want starttls or tls", r.TLS)
	}
	return ""
}

func (r *ReceiverConfig) bothOrNeither() string {
	if (r.User == "") != (r.PasswordFile == "") {
		return "user and password_file: want both or neither"
	}
	return ""
}

func absolute(path string) string {
	if !filepath.IsAbs(path) {
		return fmt.Sprintf("path: is %q, want an absolute path", path)
	}
	return ""
}

// shownAddress is where a receiver is, without secrets: a webhook's path and query may be one.
func (r *ReceiverConfig) shownAddress() string {
	switch r.Kind {
	case Webhook:
		u, err := url.Parse(r.URL)
		if err != nil {
			return ""
		}
		return u.Scheme + "://" + u.Host
	case Email:
		return strings.Join(r.To, ", ") + " by " + r.Server
	case File:
		return r.Path
	}
	return r.Server
}

// tlsConfig is how a receiver's certificate is checked.
func (r *ReceiverConfig) tlsConfig(host string) (*tls.Config, error) {
	c := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if r.CAFile == "" {
		return c, nil
	}
	text, err := os.ReadFile(r.CAFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("ca_file %s: holds no certificate", r.CAFile)
	}
	return c, nil
}

// secret reads a file with one secret; a line end after it is not part of it.
func secret(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	text = []byte(strings.TrimRight(string(text), "\r\n"))
	if len(text) == 0 {
		return nil, fmt.Errorf("%s: is empty", path)
	}
	return text, nil
}

func newSender(r ReceiverConfig, host string) (sender, error) {
	switch r.Kind {
	case Webhook:
		return newWebhook(r)
	case Syslog:
		return &syslog{cfg: r, host: host}, nil
	case Email:
		return &email{cfg: r}, nil
	case File:
		return file{path: r.Path}, nil
	}
	return nil, fmt.Errorf("receiver %q: kind %q is not known", r.Name, r.Kind)
}

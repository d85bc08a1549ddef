package notify

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/store"
	"github.com/bandfleet/bandfleet/server/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what a test waits for.
const patience = time.Minute

// certificate is one of 127.0.0.1 that vouches for itself; path is its PEM.
func certificate(t *testing.T) (c tls.Certificate, path string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}, &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}, key.Public(), key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, written(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

// written is a file with this text.
func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func admin() *access.Principal { return operator(access.AllSites) }

// operator administers these sites.
func operator(sites ...string) *access.Principal {
	return &access.Principal{
		Name:     identity.Name{Kind: identity.KindOperator, ID: "jane"},
		Operator: &fleetv1.Operator{Bindings: []*fleetv1.RoleBinding{{Role: fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN, Sites: sites}}},
	}
}

// bench is a desk over a store with the sites lyon and turin.
type bench struct {
	*Desk
	t   *testing.T
	st  store.Store
	now time.Time
}

func newBench(t *testing.T, receivers ...ReceiverConfig) *bench {
	t.Helper()
	b := &bench{t: t, st: storetest.New(t), now: time.Now()}
	must(t, CheckReceivers(receivers))
	must(t, b.st.Update(t.Context(), func(w store.Writer) (err error) {
		for _, site := range []string{"lyon", "turin"} {
			text, failed := proto.Marshal(&fleetv1.Site{Name: site})
			err = errors.Join(err, failed, w.Put(store.TableSites, store.Key(site), text))
		}
		return err
	}))
	b.begin(receivers...)
	return b
}

// begin makes the desk anew, as a start of the server does.
func (b *bench) begin(receivers ...ReceiverConfig) {
	b.t.Helper()
	d, err := New(Config{Store: b.st, Receivers: receivers, Host: "fleetd-1", Now: func() time.Time { return b.now }, Log: slog.New(slog.DiscardHandler)})
	must(b.t, err)
	b.Desk = d
	// What is new to a receiver begins when it is first looked at.
	for _, r := range d.receivers {
		_, err := d.begin(b.t.Context(), r)
		must(b.t, err)
	}
}

// run has the desk hand out notices until the returned function is called.
func (b *bench) run() (stop func()) {
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); b.Run(ctx) }()
	return func() { cancel(); <-ended }
}

func (b *bench) route(r *fleetv1.Route) {
	b.t.Helper()
	_, err := b.SetRoute(b.t.Context(), admin(), &fleetv1.SetRouteRequest{Route: r})
	must(b.t, err)
}

func (b *bench) post(notices ...*fleetv1.Notice) {
	b.t.Helper()
	for _, n := range notices {
		must(b.t, b.st.Update(b.t.Context(), func(w store.Writer) error { return b.Post(w, n) }))
	}
}

// fault is a notice of a fault at a site.
func fault(site, summary string) *fleetv1.Notice {
	return &fleetv1.Notice{Event: FaultOpened, Site: site, Summary: summary, Object: "F-1", TerminalName: "press-4", Entry: "nbe-missing", Details: []string{"service: stopped"}}
}

// next waits for what a receiver got.
func next[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(patience):
		t.Fatalf("nothing came within %s, want a message", patience)
		panic("unreachable")
	}
}

// syslogReceiver takes messages over TLS as RFC 5425 frames them.
func syslogReceiver(t *testing.T) (cfg ReceiverConfig, got <-chan string) {
	t.Helper()
	cert, ca := certificate(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	must(t, err)
	messages := make(chan string, 100)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			readFrames(conn, messages)
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return ReceiverConfig{Name: "siem", Kind: Syslog, Server: l.Addr().String(), CAFile: ca}, messages
}

func readFrames(conn net.Conn, messages chan<- string) {
	defer conn.Close()
	for in := bufio.NewReader(conn); ; {
		length, err := in.ReadString(' ')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSuffix(length, " "))
		if err != nil {
			messages <- "a frame with the length " + length
			return
		}
		text := make([]byte, n)
		if _, err := io.ReadFull(in, text); err != nil {
			return
		}
		messages <- string(text)
	}
}

// mailbox is a mail server that wants TLS and a password.
type mailbox struct{ letters chan string }

func (m *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return &mailSession{box: m}, nil }

type mailSession struct {
	box    *mailbox
	known  bool
	header string
}

func (s *mailSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *mailSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if s.known = user == "fleetd" && password == "open sesame"; !s.known {
			return errors.New("wrong password")
		}
		return nil
	}), nil
}

func (s *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	if !s.known {
		return smtp.ErrAuthRequired
	}
	s.header = "from " + from
	return nil
}

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody@") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such mailbox"}
	}
	s.header += " to " + to
	return nil
}

func (s *mailSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	s.box.letters <- s.header + "\n" + string(text)
	return err
}

func (s *mailSession) Reset()        {}
func (s *mailSession) Logout() error { return nil }

func mailServer(t *testing.T) (cfg ReceiverConfig, letters <-chan string) {
	t.Helper()
	cert, ca := certificate(t)
	box := &mailbox{letters: make(chan string, 100)}
	server := smtp.NewServer(box)
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	server.Domain, server.ErrorLog = "mail.lyon.example", quiet{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() { _, _ = server.Close(), <-ended })
	return ReceiverConfig{
		Name: "desk-mail", Kind: Email, Server: l.Addr().String(), CAFile: ca, User: "fleetd", PasswordFile: written(t, "open sesame\n"),
		From: "Bandfleet <fleetd@lyon.example>", To: []string{"desk@lyon.example", "night@lyon.example"},
	}, box.letters
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

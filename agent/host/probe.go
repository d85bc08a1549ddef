package host

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/certfacts"
	"google.golang.org/protobuf/types/known/durationpb"
)

// maxHead bounds what is read of an HTTP answer: only its status is wanted.
const maxHead = 64 << 10

// Probe implements Network. It goes straight to the target, by no proxy and by no redirect. A target that makes no sense is an error.
func (n localNetwork) Probe(ctx context.Context, target *actionv1.ProbeTarget, timeout time.Duration) (*actionv1.NetProbeResult, error) {
	if err := checkTarget(target); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	roots, err := n.trusted()
	if err != nil {
		return nil, fmt.Errorf("probe of %q: what this machine trusts: %w", target.GetHost(), err)
	}
	p := probing{target: target, timeout: timeout, roots: roots, locate: n.locate, result: &actionv1.NetProbeResult{}}
	begun := time.Now()
	p.run(limited)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("probe of %q: %w", target.GetHost(), WaitError(ctx))
	}
	p.result.Took = durationpb.New(time.Since(begun))
	return p.result, nil
}

func checkTarget(target *actionv1.ProbeTarget) error {
	name, path := target.GetHost(), target.GetHttpPath()
	switch {
	case name == "" || strings.ContainsFunc(name, notInHosts):
		return fmt.Errorf("probe of %q: that is no host name and no address", name)
	case target.GetPort() == 0 || target.GetPort() > 65535:
		return fmt.Errorf("probe of %q: port %d: want 1 to 65535", name, target.GetPort())
	case path == "":
		return nil
	}
	if _, err := url.ParseRequestURI(path); err != nil || !strings.HasPrefix(path, "/") || strings.ContainsFunc(path, notInPaths) {
		return fmt.Errorf("probe of %q: path %q: want one that begins with /", name, path)
	}
	return nil
}

func notInHosts(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`/\@?#"<>`, r) }

func notInPaths(r rune) bool { return r <= ' ' || r == 0x7f }

// probing is one probe under way.
type probing struct {
	target  *actionv1.ProbeTarget
	timeout time.Duration
	// roots are what the machine trusts; nil stands for the system's own.
	roots *x509.CertPool
	// locate is NetworkConfig's.
	locate func(address string) (string, error)
	result *actionv1.NetProbeResult
}

// run goes as far as it gets. What it meets is in the result.
func (p probing) run(ctx context.Context) {
	if p.result.NameProblem = p.lookUp(ctx); p.result.NameProblem != "" {
		return
	}
	address, err := located(p.locate, p.address())
	if err != nil {
		p.result.ConnectProblem = unreachableReason(err, p.timeout)
		return
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		p.result.ConnectProblem = unreachableReason(err, p.timeout)
		return
	}
	defer func() { _ = conn.Close() }() // nothing is lost: at most a question was asked
	p.result.Connected = true
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // an open connection takes a deadline
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	p.speak(ctx, conn)
}

// speak does what the target wants on an open connection.
func (p probing) speak(ctx context.Context, conn net.Conn) {
	if p.target.GetTls() {
		if conn = p.negotiate(ctx, conn); conn == nil || !p.result.GetTrusted() {
			return
		}
	}
	if p.target.GetHttpPath() != "" {
		status, substatus, err := p.ask(conn)
		p.result.HttpStatus, p.result.HttpSubstatus, p.result.HttpProblem = status, substatus, p.problem(err)
	}
}

func (p probing) address() string {
	return net.JoinHostPort(p.target.GetHost(), strconv.Itoa(int(p.target.GetPort())))
}

// Resolve implements Network.
func (n localNetwork) Resolve(ctx context.Context, name string, timeout time.Duration) (addresses []string, problem string, err error) {
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	p := probing{target: &actionv1.ProbeTarget{Host: name, Port: 443}, timeout: timeout, locate: n.locate, result: &actionv1.NetProbeResult{}}
	if err := checkTarget(p.target); err != nil {
		return nil, "", err
	}
	problem = p.lookUp(limited)
	if ctx.Err() != nil {
		return nil, "", fmt.Errorf("name %q: %w", name, WaitError(ctx))
	}
	return p.result.GetAddresses(), problem, nil
}

// lookUp fills in the addresses, and says why there are none.
func (p probing) lookUp(ctx context.Context) string {
	if p.locate != nil {
		return p.lookUpOwn()
	}
	if net.ParseIP(p.target.GetHost()) != nil {
		p.result.Addresses = []string{p.target.GetHost()}
		return ""
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, p.target.GetHost())
	if err != nil {
		return unreachableReason(err, p.timeout)
	}
	p.result.Addresses = addresses
	return ""
}

// lookUpOwn is lookUp of a machine with its own way from names to addresses.
func (p probing) lookUpOwn() string {
	address, err := p.locate(p.address())
	if err != nil {
		return unreachableReason(err, p.timeout)
	}
	ip, _, err := net.SplitHostPort(address)
	if err != nil {
		return err.Error()
	}
	p.result.Addresses = []string{ip}
	return ""
}

// negotiate does the TLS handshake with whatever chain is served, and judges the chain afterwards, so that one which is not trusted can be
// told. It returns nil when there is no handshake.
func (p probing) negotiate(ctx context.Context, conn net.Conn) net.Conn {
	secured := tls.Client(conn, &tls.Config{
		ServerName: p.target.GetHost(), NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // verified in trustProblem; nothing is sent before that
	})
	if err := secured.HandshakeContext(ctx); err != nil {
		p.result.TlsProblem = p.problem(err)
		return nil
	}
	chain := secured.ConnectionState().PeerCertificates
	p.result.Handshake, p.result.Chain = true, certfacts.Chain(chain)
	p.result.TrustProblem = p.trustProblem(chain)
	p.result.Trusted = p.result.GetTrustProblem() == ""
	return secured
}

// trustProblem says why a chain is not good for the host on this machine; empty when it is.
func (p probing) trustProblem(chain []*x509.Certificate) string {
	options := x509.VerifyOptions{Roots: p.roots, Intermediates: x509.NewCertPool()}
	for _, cert := range chain[1:] {
		options.Intermediates.AddCert(cert)
	}
	_, err := chain[0].Verify(options)
	if err == nil {
		// By itself: systems that verify chains do not all know addresses in certificates.
		err = chain[0].VerifyHostname(p.target.GetHost())
	}
	return trustReason(err, chain)
}

// trustReason puts a chain's refusal into a person's words.
func trustReason(err error, chain []*x509.Certificate) string {
	if err == nil {
		return ""
	}
	last := chain[len(chain)-1]
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Sprintf("the chain ends at %q, which is not trusted here", last.Issuer.String())
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return validity(invalid.Cert, time.Now())
	}
	return strings.TrimPrefix(err.Error(), "x509: ")
}

// validity says how a certificate is not valid now.
func validity(cert *x509.Certificate, now time.Time) string {
	if now.Before(cert.NotBefore) {
		return fmt.Sprintf("%q is valid only from %s", cert.Subject.String(), cert.NotBefore.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("%q expired at %s", cert.Subject.String(), cert.NotAfter.UTC().Format(time.RFC3339))
}

// ask sends a GET and reads the status, and of an error what its page says after it. A redirect is an answer.
func (p probing) ask(conn net.Conn) (status, substatus uint32, err error) {
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bandfleet\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		p.target.GetHttpPath(), p.hostHeader())
	if _, err := io.WriteString(conn, request); err != nil {
		return 0, 0, err
	}
	head := bufio.NewReader(io.LimitReader(conn, maxHead))
	for {
		answer, err := http.ReadResponse(head, nil)
		if err != nil {
			return 0, 0, err
		}
		if answer.StatusCode >= http.StatusBadRequest {
			substatus = substatusIn(answer.Body, answer.StatusCode)
		}
		_ = answer.Body.Close() // nothing else of it is wanted
		if answer.StatusCode >= http.StatusOK {
			return uint32(answer.StatusCode), substatus, nil
		}
	}
}

// maxPage bounds what is read of the page of an error, in bytes: IIS says the substatus in its title.
const maxPage = 16 << 10

// substatusIn finds the number after "500." in the page of an error; 0 when there is none, or the page does not come.
func substatusIn(page io.Reader, status int) uint32 {
	text, _ := io.ReadAll(io.LimitReader(page, maxPage)) // what came is looked through
	_, after, found := bytes.Cut(text, fmt.Appendf(nil, "%d.", status))
	if !found {
		return 0
	}
	digits := after[:len(after)-len(bytes.TrimLeft(after, "0123456789"))]
	substatus, err := strconv.ParseUint(string(digits), 10, 8)
	if err != nil {
		return 0
	}
	return uint32(substatus)
}

// hostHeader names the port only where it is not the usual one, as browsers do.
func (p probing) hostHeader() string {
	port := p.target.GetPort()
	if p.target.GetTls() && port == 443 || !p.target.GetTls() && port == 80 {
		if strings.Contains(p.target.GetHost(), ":") {
			return "[" + p.target.GetHost() + "]"
		}
		return p.target.GetHost()
	}
	return net.JoinHostPort(p.target.GetHost(), strconv.Itoa(int(port)))
}

// problem puts an error of an open connection into a person's words.
func (p probing) problem(err error) string {
	switch {
	case err == nil:
		return ""
	case isTimeout(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, net.ErrClosed):
		return fmt.Sprintf("timed out after %s", p.timeout)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed without an answer"
	}
	if notTLS, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "no TLS is spoken there: " + notTLS.Msg
	}
	return strings.ToValidUTF8(strings.TrimPrefix(err.Error(), "remote error: "), "?")
}

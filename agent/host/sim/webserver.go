package sim

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// bindingPoll is how often the web server looks for bindings of ports on which it does not listen yet.
const bindingPoll = 100 * time.Millisecond

// webServer is what the process of W3SVC does: it listens on 127.0.0.1 for each port that a binding has, and for HTTP, and reads what it
// serves anew for each connection.
type webServer struct {
	*terminal
	listening map[int]bool
}

// serveWeb starts the web server. An error means that a port which it must have is taken.
func serveWeb(t *terminal) error {
	w := &webServer{terminal: t, listening: map[int]bool{}}
	if err := w.listen(t.HTTPPort, nil); err != nil {
		return err
	}
	if err := w.follow(); err != nil {
		return err
	}
	go func() {
		for range time.Tick(bindingPoll) { // ends with the process
			if err := w.follow(); err != nil {
				logLine("bindings: %v", err)
			}
		}
	}()
	return nil
}

// follow listens on the ports of bindings that are new. Those of bindings that are gone refuse handshakes.
func (w *webServer) follow() error {
	records, err := w.bindings()
	if err != nil {
		return err
	}
	for _, b := range records {
		if w.listening[b.Listen] {
			continue
		}
		listen := b.Listen
		config := &tls.Config{
			MinVersion:             tls.VersionTLS12,
			SessionTicketsDisabled: true, // so that each connection shows what is bound now
			GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
				return w.serve(listen, hello.ServerName)
			},
		}
		if err := w.listen(listen, config); err != nil {
			return err
		}
	}
	return nil
}

// listen answers on a port, with TLS when there is a configuration of it.
func (w *webServer) listen(port int, config *tls.Config) error {
	listener, err := net.Listen("tcp", loopback(port))
	if err != nil {
		return err
	}
	w.listening[port] = true
	if config != nil {
		listener = tls.NewListener(listener, config)
	}
	server := &http.Server{Handler: webHandler{w.terminal, config != nil}, ReadHeaderTimeout: 10 * time.Second}
	server.SetKeepAlivesEnabled(false)
	go func() {
		if err := server.Serve(listener); err != nil {
			logLine("web server: %v", err)
		}
	}()
	return nil
}

// serve reads what is bound now. When a certificate goes away between the reading of the binding and its own, another one is bound by now.
func (w *webServer) serve(listen int, name string) (*tls.Certificate, error) {
	const attempts = 5
	for attempt := 1; ; attempt++ {
		bound, err := w.bound(listen, name)
		if err != nil {
			return nil, err
		}
		pair, err := w.load(bound.Store, bound.Certificate)
		if !errors.Is(err, fs.ErrNotExist) || attempt == attempts {
			return pair, err
		}
	}
}

// bound finds the binding of a port, by preference that of the name.
func (w *webServer) bound(listen int, name string) (bindingRecord, error) {
	records, err := w.bindings()
	if err != nil {
		return bindingRecord{}, err
	}
	var bound bindingRecord
	for _, b := range records {
		if b.Listen == listen && (b.Host == "" && bound.Host == "" || b.Host != "" && strings.EqualFold(b.Host, name)) {
			bound = b
		}
	}
	if bound.Certificate == "" {
		return bindingRecord{}, errors.New("nothing is bound here")
	}
	return bound, nil
}

// load reads a certificate with its key, and the intermediates of it that the machine has.
func (t *terminal) load(store, sha256 string) (*tls.Certificate, error) {
	certificatePEM, err := os.ReadFile(t.storeFile(store, sha256+certificateFile))
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(t.storeFile(store, sha256+keyFile))
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificatePEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", sha256, err)
	}
	between, err := t.stored("CA")
	if err != nil {
		return nil, err
	}
	for last := pair.Leaf; last != nil; {
		last = issuerOf(last, between)
		if last != nil {
			pair.Certificate = append(pair.Certificate, last.Raw)
		}
	}
	return &pair, nil
}

// issuerOf finds who signed a certificate; nil when it is not there, or is the certificate itself.
func issuerOf(certificate *x509.Certificate, among []*x509.Certificate) *x509.Certificate {
	if bytes.Equal(certificate.RawIssuer, certificate.RawSubject) {
		return nil
	}
	for _, candidate := range among {
		if certificate.CheckSignatureFrom(candidate) == nil {
			return candidate
		}
	}
	return nil
}

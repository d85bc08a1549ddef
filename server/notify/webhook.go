package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// Headers of a webhook's message.
const (
	// HeaderID is the notice's id: the same for each try.
	HeaderID = "Bandfleet-Id"
	// HeaderSignature is "t=SECONDS,v1=HEX": HMAC-SHA256 of "SECONDS.BODY" with the receiver's secret.
	HeaderSignature = "Bandfleet-Signature"
)

// webhook posts JSON.
type webhook struct {
	cfg    ReceiverConfig
	client *http.Client
}

func newWebhook(cfg ReceiverConfig) (*webhook, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, err
	}
	checks, err := cfg.tlsConfig(u.Hostname())
	if err != nil {
		return nil, fmt.Errorf("receiver %q: %w", cfg.Name, err)
	}
	client := &http.Client{
		Timeout: sendTimeout,
		// A signed message goes to the configured address and nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{TLSClientConfig: checks, DisableKeepAlives: true, ForceAttemptHTTP2: false, Proxy: http.ProxyFromEnvironment},
	}
	return &webhook{cfg: cfg, client: client}, nil
}

// Payload is the body of a webhook's message, and a line of a receiver of kind file.
type Payload struct {
	ID       string    `json:"id"`
	Event    string    `json:"event"`
	Time     time.Time `json:"time"`
	Site     string    `json:"site,omitempty"`
	Summary  string    `json:"summary"`
	Object   string    `json:"object,omitempty"`
	Terminal string    `json:"terminal,omitempty"`
	Entry    string    `json:"entry,omitempty"`
	Details  []string  `json:"details,omitempty"`
	// Text is what the route's template made of it.
	Text string `json:"text,omitempty"`
}

func payload(m *message) *Payload {
	n := m.notice
	return &Payload{
		ID: n.GetId(), Event: n.GetEvent(), Time: n.GetTime().AsTime(), Site: n.GetSite(), Summary: n.GetSummary(), Object: n.GetObject(),
		Terminal: n.GetTerminalName(), Entry: n.GetEntry(), Details: n.GetDetails(), Text: m.text,
	}
}

// Sign returns the value of HeaderSignature for a body sent at this time.
func Sign(secret []byte, at time.Time, body []byte) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(seconds + "."))
	mac.Write(body)
	return "t=" + seconds + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

func (w *webhook) send(ctx context.Context, m *message) (string, error) {
	key, err := secret(w.cfg.SecretFile)
	if err != nil {
		return "", fmt.Errorf("secret_file: %w", err)
	}
	body, err := json.Marshal(payload(m))
	if err != nil {
		return "", refused{err}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return "", plain(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set(HeaderID, m.notice.GetId())
	request.Header.Set(HeaderSignature, Sign(key, time.Now(), body))
	response, err := w.client.Do(request)
	if err != nil {
		return "", plain(err)
	}
	defer response.Body.Close()
	said, err := io.ReadAll(io.LimitReader(response.Body, maxSummary))
	if err != nil {
		return "", plain(err)
	}
	return verdict(response, line(string(said), maxSummary))
}

// verdict tells a message that was taken from one that may be taken later and one that never will.
func verdict(response *http.Response, said string) (string, error) {
	answer := response.Status
	if said != "" {
		answer += ": " + said
	}
	switch code := response.StatusCode; {
	case code >= 200 && code < 300:
		return answer, nil
	case code == http.StatusBadRequest || code == http.StatusRequestEntityTooLarge || code == http.StatusUnprocessableEntity:
		return "", refused{fmt.Errorf("it answered %s", answer)}
	}
	return "", fmt.Errorf("it answered %s", answer)
}

// plain takes the address out of an error of the HTTP client: its path and query may be a secret.
func plain(err error) error {
	if in, ok := err.(*url.Error); ok { //nolint:errorlint // the client returns it bare
		return in.Err
	}
	return err
}

// noticeTime is when a notice was made.
func noticeTime(n *fleetv1.Notice) time.Time { return n.GetTime().AsTime() }

package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/bandfleet/bandfleet/agent/facts"
	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/identity"
	"github.com/bandfleet/bandfleet/agent/journal"
	"github.com/bandfleet/bandfleet/agent/link"
	"github.com/bandfleet/bandfleet/agent/plugins"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/boltfile"
	fleetid "github.com/bandfleet/bandfleet/proto/identity"
)

// enrolTimeout bounds the exchange with the server.
const enrolTimeout = 30 * time.Second

// EnrollConfig is what an enrolment needs.
type EnrollConfig struct {
	DataDir string
	// Server is the host and port of fleetd.
	Server string
	// Token is the text of an enrolment token.
	Token string
	// Plugins is the folder with the plugins and their plugins.lock.
	Plugins string
	// Name is the wished name of the terminal; empty means the host name.
	Name    string
	Machine Machine
	// Again allows a data directory that is enrolled already; the earlier identity is set aside once the new one is there.
	Again bool
	// Version is this program's version.
	Version string
	Log     *slog.Logger
}

// Enroll makes this machine a terminal of the fleet. When it fails, an earlier identity is as it was; repeated with the same
// token after a lost answer it yields the same terminal.
func Enroll(ctx context.Context, c EnrollConfig) (identity.Record, error) {
	e, err := prepare(c)
	if err != nil {
		return identity.Record{}, err
	}
	staging := e.dir.Staging()
	if err := staging.Make(); err != nil {
		return identity.Record{}, err
	}
	done, err := staging.Enrolled()
	if err != nil {
		return identity.Record{}, err
	}
	if !done {
		if err := e.enroll(ctx); err != nil {
			return identity.Record{}, err
		}
	}
	return e.adopt()
}

// enrolment is an enrolment whose input was found good.
type enrolment struct {
	EnrollConfig
	dir   identity.Dir
	token fleetid.Token
	pins  []plugins.Pin
	set   *plugins.Set
	host  *host.Host
}

// prepare checks all that can be checked without the network, and changes nothing but to make the data directory.
func prepare(c EnrollConfig) (*enrolment, error) {
	e := &enrolment{EnrollConfig: c, dir: identity.Dir(c.DataDir)}
	var err error
	if e.token, err = fleetid.ParseToken(c.Token); err != nil {
		return nil, input(err)
	}
	if err := checkAddress(c.Server); err != nil {
		return nil, input(err)
	}
	if e.Machine, err = c.Machine.Absolute(); err != nil {
		return nil, err
	}
	if e.host, err = e.Machine.open(); err != nil {
		return nil, err
	}
	if e.pins, err = plugins.ReadLock(c.Plugins); err != nil {
		return nil, input(err)
	}
	if e.set, err = plugins.NewSet(e.pins, c.Log); err != nil {
		return nil, input(err)
	}
	if err := e.dir.Make(); err != nil {
		return nil, input(err)
	}
	return e, e.mayReplace()
}

// checkAddress refuses what cannot be dialled.
func checkAddress(server string) error {
	name, port, err := net.SplitHostPort(server)
	if err != nil {
		return fmt.Errorf("server %q: want HOST:PORT, as fleetd prints at its start", server)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || name == "" {
		return fmt.Errorf("server %q: want HOST:PORT with a port from 1 to 65535", server)
	}
	return nil
}

// mayReplace refuses to enrol over an identity without being told to, under a running agent, or while the machine still has
// to be put right: only the journal of the earlier identity knows of that.
func (e *enrolment) mayReplace() error {
	enrolled, err := e.dir.Enrolled()
	if err != nil || !enrolled {
		return err
	}
	if !e.Again {
		return input(fmt.Errorf("data directory %q: is enrolled already; add --force-re-enrol to enrol it anew, or choose another folder", e.DataDir))
	}
	book, err := journal.Open(e.dir.Journal())
	if errors.Is(err, boltfile.ErrCorrupt) {
		e.Log.Warn("the earlier journal cannot be read and is set aside with the rest", "cause", err)
		return nil
	}
	if err != nil {
		return input(err)
	}
	return errors.Join(e.atRest(book), book.Close())
}

// atRest refuses while tasks have started without a result or services are still to be started.
func (e *enrolment) atRest(book *journal.Journal) error {
	owed, err := book.Obligations()
	if err != nil {
		return err
	}
	open, err := book.OpenTasks()
	if err != nil {
		return err
	}
	due := len(owed)
	for _, t := range open {
		if t.GetState() == agentv1.TaskState_TASK_STATE_STARTED {
			due++
		}
	}
	if due == 0 {
		return nil
	}
	return input(fmt.Errorf("data directory %q: %d things on this machine are still to be put right; let `fleet-agent run` do that first, then enrol again",
		e.DataDir, due))
}

// enroll exchanges the token for a certificate and completes the staging folder. Keys and journal are on disk before the
// server hears of them. The journal's lock keeps a second enrolment out.
func (e *enrolment) enroll(ctx context.Context) (err error) {
	staging := e.dir.Staging()
	book, err := journal.Open(staging.Journal())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, book.Close()) }()
	keys, err := staging.MakeKeys()
	if err != nil {
		return err
	}
	request, err := e.request(ctx, keys, book.ID())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, enrolTimeout)
	defer cancel()
	answer, err := link.Enroll(ctx, e.Server, e.token.CA, request)
	if err != nil {
		return err
	}
	if err := plugins.SavePins(staging.Pins(), e.pins); err != nil {
		return err
	}
	return staging.Complete(e.record(answer), keys,
		identity.Grant{Chain: answer.GetCertificateChain(), Bundle: answer.GetTrustBundle()}, e.token.CA)
}

func (e *enrolment) record(answer *agentv1.EnrollResponse) identity.Record {
	return identity.Record{
		Server: e.Server, TerminalID: answer.GetTerminalId(), Name: answer.GetName(), Site: answer.GetSite(),
		Role: answer.GetRole(), Host: e.Machine.Host,
	}
}

func (e *enrolment) request(ctx context.Context, keys identity.Keys, journalID string) (*agentv1.EnrollRequest, error) {
	csr, err := fleetid.NewCSR(keys.TLS)
	if err != nil {
		return nil, err
	}
	// What cannot be read now is no trouble of the enrolment: the running agent reads it again, and says so.
	collector := facts.New(facts.Config{
		Host: e.host, AgentVersion: e.Version, Simulated: e.Machine.simulated(), Log: slog.New(slog.DiscardHandler),
	})
	return &agentv1.EnrollRequest{
		TokenId: e.token.ID, TokenSecret: e.token.Secret, Csr: csr, SealingKey: keys.Sealing.PublicKey().Bytes(),
		Name: e.Name, Facts: collector.Collect(ctx), Plugins: e.set.Report(), JournalId: journalID,
	}, nil
}

// adopt makes the completed enrolment the identity of the data directory.
func (e *enrolment) adopt() (identity.Record, error) {
	enrolled, err := e.dir.Enrolled()
	if err != nil {
		return identity.Record{}, err
	}
	if enrolled {
		aside, err := e.dir.SetAside(time.Now())
		if err != nil {
			return identity.Record{}, err
		}
		e.Log.Info("the earlier identity was set aside", "folder", string(aside))
	}
	if err := e.dir.Adopt(); err != nil {
		return identity.Record{}, err
	}
	return e.dir.ReadRecord()
}

package main

import (
	"errors"
	"net"
	"path/filepath"
	"time"

	"github.com/bandfleet/bandfleet/deploy/bench/child"
)

// serverFolder is fleetd's data directory in the folder of a contender.
const serverFolder = "server"

// prepareFleetd makes a data directory with n terminals. Enrolment leaves garbage in memory: the figures are those of a server that
// is started with its agents known.
func prepareFleetd(dir string, n int) error {
	r, err := serve(config{}, filepath.Join(dir, serverFolder))
	if err != nil {
		return err
	}
	defer r.close()
	return enrolAll(dir, r, n)
}

func openFleetd(c config, dir string, n int) (*rig, error) {
	r, err := serve(c, filepath.Join(dir, serverFolder))
	if err != nil {
		return nil, err
	}
	if c.profile == "" {
		return &rig{server: r.child, addr: r.addr, job: func() error { return r.runJob(benchAction, n) }, close: r.close}, nil
	}
	job := func() error {
		if _, err := r.child.Ask("heap " + c.profileOf("heap")); err != nil {
			return err
		}
		if _, err := r.child.Ask("profile " + c.profileOf("fanout")); err != nil {
			return err
		}
		if err := r.runJob(benchAction, n); err != nil {
			return err
		}
		_, err := r.child.Ask("profiled")
		return err
	}
	return &rig{server: r.child, addr: r.addr, job: job, close: r.close}, nil
}

// running is a fleetd that runs, and its administrator.
type running struct {
	*operator
	child *child.Child
	data  string
	addr  string
}

// serve starts fleetd on a data directory: the program, or the same server in a process of this program where it is to be looked
// into.
func serve(c config, data string) (*running, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	return serveAt(c, data, addr)
}

func serveAt(c config, data, addr string) (*running, error) {
	r := &running{data: data, addr: addr}
	var err error
	if c.fleetd == "" || c.profile != "" {
		r.child, err = child.Self("fleetd", data, addr)
	} else {
		r.child, err = child.Start(c.fleetd, "serve", "--data-dir", data, "--listen", addr, "--log-level", "error")
	}
	if err != nil {
		return nil, err
	}
	if r.operator, err = dialOperator(data, addr, startPatience); err != nil {
		return nil, errors.Join(err, r.child.Kill(), r.child.Said())
	}
	return r, nil
}

// startPatience is how long a server may take to be there; it reads its whole store first.
const startPatience = 2 * time.Minute

// close stops the server as an operator would.
func (r *running) close() {
	r.conn.Close()
	_ = r.child.Stop()
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

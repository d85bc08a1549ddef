package fleet_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bandfleet/bandfleet/deploy/fleetsim/fleet"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

const (
	// lost is the fault of a terminal that does not reach its NES host.
	lost = "nba-nes-network-down"
	// otherSite has too few terminals for an incident.
	otherSite = "ghent"
	nesHost   = "nes-lyon-00001"
)

// Five hundred terminals of one site lose their NES host, and the host's web server has ended. That is one incident with five hundred
// members; the host is repaired, and nothing at all is done on a member, although a policy would: on the two terminals of another site that
// lost theirs, it does. When all reach the host again the incident is over.
func TestATerminalIsLeftAloneWhenItsNESHostIsDown(t *testing.T) {
	const members = 500
	c := startServer(t)
	c.twoSites()
	c.probeAlone()
	terminals := c.guided(site, fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL, "lyon-", members)
	hosts := c.guided(site, fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST, "nes-lyon-", 1)
	others := c.guided(otherSite, fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL, "ghent-", 2)

	hosts.Kill(0)
	c.reportAll(terminals, members, false)
	c.reportAll(others, 2, false)
	incident := c.incidentWith(members)
	c.await("the repair of the NES host", func() string {
		jobs := c.jobs(site)
		if len(jobs) == 0 || jobs[0].GetState() != fleetv1.JobState_JOB_STATE_DONE {
			return fmt.Sprintf("%d jobs: %v", len(jobs), jobs)
		}
		return ""
	})
	c.await("the remedies of the terminals that are of no incident", func() string {
		if jobs := c.jobs(otherSite); len(jobs) != 2 {
			return fmt.Sprintf("%d jobs at %s, want 2", len(jobs), otherSite)
		}
		return ""
	})
	// By now every member would have been decided on.
	c.onlyTheHostWasRepaired(incident)
	for _, f := range c.faults(site, lost) {
		if f.GetIncident() != incident.GetId() || f.GetJobId() != "" || f.GetGuidedTask() != "" {
			t.Fatalf("fault %s of %s is of incident %q, with job %q and guided task %q; want it held in %s", f.GetId(), f.GetTerminalName(), f.GetIncident(),
				f.GetJobId(), f.GetGuidedTask(), incident.GetId())
		}
	}

	c.reportAll(terminals, members, true)
	c.await("the end of the incident", func() string {
		all := c.incidents()
		if len(all) != 1 || all[0].GetResolved() == nil || all[0].GetOpenMembers() != 0 || all[0].GetMembers() != members {
			return fmt.Sprintf("incidents are %v, want one of %d members that is over", all, members)
		}
		return ""
	})
	c.onlyTheHostWasRepaired(incident)
	if open := len(c.faults(site, "")); open != 0 {
		t.Errorf("%d faults of %s are open at the end, want none", open, site)
	}
	if got := terminals.Counts(); got.Accepted != 0 || got.Stops != 0 {
		t.Errorf("the members of the incident have done something: %s", got)
	}
}

// twoSites makes the other site, and says which host the terminals of both use.
func (c *control) twoSites() {
	c.t.Helper()
	inventory := fleetv1.NewInventoryServiceClient(c.admin)
	if _, err := inventory.CreateSite(c.t.Context(), &fleetv1.CreateSiteRequest{Name: otherSite}); err != nil {
		c.t.Fatal(err)
	}
	for name, host := range map[string]string{site: nesHost, otherSite: "nes-ghent"} {
		_, err := inventory.SetSite(c.t.Context(), &fleetv1.SetSiteRequest{Name: name, Reason: "test", Fields: []string{"nes_hosts"}, Settings: &fleetv1.SiteSettings{
			NesHosts: []*fleetv1.NESHost{{Host: host, Url: "https://" + host + ".example/nes"}},
		}})
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

// probeAlone has the server look at the way to the NES host of each terminal that lost it, however many they are.
func (c *control) probeAlone() {
	c.t.Helper()
	_, err := fleetv1.NewPolicyServiceClient(c.admin).SetPolicy(c.t.Context(), &fleetv1.SetPolicyRequest{Reason: "test", Policy: &fleetv1.Policy{
		Name: "probe", Order: 1, Entries: []string{lost}, Mode: fleetv1.PolicyMode_POLICY_MODE_AUTO, SiteBreakerPercent: 100,
	}})
	if err != nil {
		c.t.Fatal(err)
	}
}

// guided starts a fleet that tells of faults, and waits until all of it is connected.
func (c *control) guided(site string, role fleetv1.TerminalRole, prefix string, agents int) *fleet.Fleet {
	c.t.Helper()
	f, end := c.run(fleet.Config{
		Server: c.addr, Token: c.tokenFor(site, role, agents), Dir: c.t.TempDir(), Agents: agents, Prefix: prefix, Faults: true,
		Log: slog.New(slog.DiscardHandler), Script: fleet.Script{Latency: fleet.Latency{Least: time.Millisecond, Most: 20 * time.Millisecond}},
	})
	c.t.Cleanup(end)
	c.await("the fleet "+prefix, func() string {
		if n := f.Counts().Connected; n != agents {
			return fmt.Sprintf("%d of %d are connected", n, agents)
		}
		return ""
	})
	return f
}

// reportAll has all terminals find that they do not reach their NES host, or that they do again.
func (c *control) reportAll(f *fleet.Fleet, agents int, gone bool) {
	c.t.Helper()
	var all errgroup.Group
	for i := range agents {
		all.Go(func() error { return f.Report(i, &agentv1.FaultReport{Entry: lost, Gone: gone}) })
	}
	if err := all.Wait(); err != nil {
		c.t.Fatal(err)
	}
}

// incidentWith waits until the site has an incident of so many members, and has the fault at the host as its cause.
func (c *control) incidentWith(members int) (found *fleetv1.Incident) {
	c.t.Helper()
	c.await("the incident", func() string {
		all := c.incidents()
		if len(all) != 1 || int(all[0].GetOpenMembers()) != members || all[0].GetCauseFault() == "" {
			return fmt.Sprintf("incidents are %v, want one of %d members and its cause", all, members)
		}
		found = all[0]
		return ""
	})
	if found.GetKind() != "nes-host" || !strings.HasPrefix(found.GetSubject(), nesHost) {
		c.t.Fatalf("the incident is of %s %q, want of the NES host %s", found.GetKind(), found.GetSubject(), nesHost)
	}
	return found
}

// onlyTheHostWasRepaired fails when the site has had another job than the one for the cause of the incident.
func (c *control) onlyTheHostWasRepaired(incident *fleetv1.Incident) {
	c.t.Helper()
	jobs := c.jobs(site)
	if len(jobs) != 1 || jobs[0].GetAction() != fleet.EnsureAction || jobs[0].GetFaultId() != incident.GetCauseFault() || jobs[0].GetCounts().GetSucceeded() != 1 {
		c.t.Fatalf("%d jobs were made at %s (the first is %v); want one, %s for fault %s at the NES host, that succeeded: what the members need is the host",
			len(jobs), site, append(jobs, nil)[0], fleet.EnsureAction, incident.GetCauseFault())
	}
}

func (c *control) jobs(site string) []*fleetv1.Job {
	c.t.Helper()
	page, err := fleetv1.NewJobServiceClient(c.admin).ListJobs(c.t.Context(), &fleetv1.ListJobsRequest{Site: site})
	if err != nil {
		c.t.Fatal(err)
	}
	return page.GetJobs()
}

func (c *control) incidents() []*fleetv1.Incident {
	c.t.Helper()
	page, err := fleetv1.NewFaultServiceClient(c.admin).ListIncidents(c.t.Context(), &fleetv1.ListIncidentsRequest{IncludeResolved: true})
	if err != nil {
		c.t.Fatal(err)
	}
	return page.GetIncidents()
}

// faults lists the open faults of an entry, all when it is empty.
func (c *control) faults(site, entry string) (all []*fleetv1.Fault) {
	c.t.Helper()
	r := &fleetv1.ListFaultsRequest{Site: site, Entry: entry}
	for {
		page, err := fleetv1.NewFaultServiceClient(c.admin).ListFaults(c.t.Context(), r)
		if err != nil {
			c.t.Fatal(err)
		}
		all = append(all, page.GetFaults()...)
		if r.PageToken = page.GetNextPageToken(); r.GetPageToken() == "" {
			return all
		}
	}
}

// await asks until there is nothing wrong any more.
func (c *control) await(what string, wrong func() string) {
	c.t.Helper()
	late := time.Now().Add(3 * time.Minute)
	for {
		is := wrong()
		if is == "" {
			return
		}
		if time.Now().After(late) {
			c.t.Fatalf("%s does not come: %s", what, is)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

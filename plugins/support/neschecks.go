package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/bandfleet/bandfleet/plugins/neshost"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

func lookAtWebServices(ctx context.Context, e *exam) {
	const start, install = "run iis-restart mode=ensure-running on this host", "install IIS, as the Deployment Guide says"
	lookAtService(ctx, e, "service-was", neshost.ActivationService, install, start)
	lookAtService(ctx, e, "service-w3svc", neshost.WebService, install, start)
	lookAtService(ctx, e, "service-certsvc", neshost.CertificateService, "", "run adcs-start on this host")
}

func lookAtCertificateService(ctx context.Context, e *exam) {
	lookAtService(ctx, e, "service-certsvc", neshost.CertificateService,
		"install the certificate authority, as the Deployment Guide says", "run adcs-start on this host")
}

// web reads IIS; when there is none, or it cannot be read, that is recorded under the rule and false returned.
func (e *exam) web(ctx context.Context, rule string) (*actionv1.IISInventory, bool) {
	const subject, expected = "IIS", "installed"
	inv, err := e.webServer(ctx)
	if err != nil {
		e.unknown(rule, subject, expected, err.Error())
		return nil, false
	}
	if !inv.GetInstalled() {
		e.judge(false, problem, rule, subject, "not installed", expected, "install IIS, as the Deployment Guide says")
	}
	return inv, inv.GetInstalled()
}

// lookAtPools: a pool that runs as LocalService makes an installation fail.
func lookAtPools(ctx context.Context, e *exam) {
	const rule = "pools"
	inv, ok := e.web(ctx, rule)
	if !ok {
		return
	}
	used := neshost.Pools(neshost.Applications(inv))
	if len(used) == 0 {
		e.unknown(rule, "application pools of NES", "started, and not LocalService", "IIS names no NES applications on this host")
	}
	for _, p := range inv.GetPools() {
		if !containsFold(used, p.GetName()) {
			continue
		}
		e.judge(p.GetStarted(), problem, "pool-started", p.GetName(), map[bool]string{true: "started", false: "stopped"}[p.GetStarted()], "started",
			"run iis-restart mode=ensure-running on this host; if it stops again, see the System event log")
		e.judge(p.GetIdentity() != "LocalService", problem, "pool-identity", p.GetName(), p.GetIdentity(), "another account than LocalService",
			fmt.Sprintf("run apppool-identity-set pool=%s on this host", p.GetName()))
	}
}

func containsFold(names []string, name string) bool {
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

func lookAtApplications(ctx context.Context, e *exam) {
	for _, name := range neshost.Names() {
		lookAtApplication(ctx, e, name)
	}
}

func lookAtEnrollment(ctx context.Context, e *exam) { lookAtApplication(ctx, e, neshost.Enrollment) }

// lookAtApplication records where an application is and what it answers on this host's own address.
func lookAtApplication(ctx context.Context, e *exam, name string) {
	rule := "application-" + name
	inv, ok := e.web(ctx, rule)
	if !ok {
		return
	}
	found := 0
	for _, a := range neshost.Applications(inv) {
		if a.Name == name {
			found++
			e.good(rule, name, fmt.Sprintf("%s%s in %s", a.Site, a.Path, a.Folder), "an application of IIS")
			e.probeOwn(ctx, rule, a)
		}
	}
	if found == 0 {
		e.judge(false, problem, rule, name, "IIS has no such application", "an application of IIS", "install NES, or see whether somebody removed the application")
	}
}

func (e *exam) probeOwn(ctx context.Context, rule string, a neshost.Application) {
	site, err := e.siteFacts(ctx)
	if err != nil {
		e.unknown(rule+"-reach", a.Name, "an answer", err.Error())
		return
	}
	own := neshost.Own(site)
	if own == nil {
		e.unknown(rule+"-reach", a.Name, "an answer", "the inventory does not name this terminal as a NES host of its site, so its address is not known")
		return
	}
	target, err := neshost.Target(own.GetUrl(), strings.TrimSuffix(a.Path, "/")+"/")
	if err != nil {
		e.unknown(rule+"-reach", a.Name, "an answer", err.Error())
		return
	}
	e.connect(ctx, rule, target)
}

// lookAtRevocationLists: the lists are fetched over plain HTTP; a location that requires SSL answers 403.4.
func lookAtRevocationLists(ctx context.Context, e *exam) {
	inv, ok := e.web(ctx, "crl-ssl")
	if !ok {
		return
	}
	flags, there := inv.GetSslFlags()[crlLocation]
	e.judge(there, problem, "crl-location", crlLocation, map[bool]string{true: "there", false: "not there"}[there], "there",
		"see where the revocation lists of NES are published on this host")
	if there {
		requires := containsFold(strings.Split(flags, ","), "Ssl")
		e.judge(!requires, problem, "crl-ssl", crlLocation, "sslFlags "+flags, "sslFlags without Ssl", "run crl-http-allow on this host")
	}
	for _, path := range []string{"/crl/NESL1CA.crl", "/crl/NymiInfraRootCA.crl"} {
		e.revocationList(ctx, path)
	}
}

func (e *exam) revocationList(ctx context.Context, path string) {
	subject := "http://localhost" + path
	p, err := e.r.ProbeNet(ctx, &actionv1.ProbeTarget{Host: "localhost", Port: 80, HttpPath: path}, e.timeout)
	if err != nil {
		e.unknown("crl", subject, "HTTP 200", err.Error())
		return
	}
	message := "see that the list is published there (folder crl of the Default Web Site)"
	if p.GetHttpStatus() == http.StatusForbidden {
		message = "the location requires SSL: run crl-http-allow on this host"
	}
	e.judge(p.GetHttpStatus() == http.StatusOK, problem, "crl", subject, neshost.Words(p), "HTTP 200", message)
}

// lookAtHandles: an installation fails while programs hold files of an earlier one.
func lookAtHandles(ctx context.Context, e *exam) {
	const rule, expected = "open-handles", "no open files"
	for _, root := range neshost.Names() {
		holders, err := e.r.Handles(ctx, root)
		if err != nil {
			e.unknown(rule, "folder of "+root, expected, err.Error())
			continue
		}
		var names []string
		for _, h := range holders {
			names = append(names, fmt.Sprintf("%s (process %d)", h.GetProgram(), h.GetPid()))
		}
		value := "none"
		if len(names) > 0 {
			value = strings.Join(names, ", ")
		}
		e.judge(len(names) == 0, warning, rule, "folder of "+root, value, expected, "close these programs before NES is installed, updated or removed")
	}
}

// lookAtSQL and lookAtDirectory connect to the hosts that the inventory has under these labels.
func lookAtSQL(ctx context.Context, e *exam) { e.labelled(ctx, "sql") }

func lookAtDirectory(ctx context.Context, e *exam) { e.labelled(ctx, "ad") }

func (e *exam) labelled(ctx context.Context, label string) {
	site, err := e.siteFacts(ctx)
	if err != nil {
		e.unknown(label+"-reach", label, "reachable", err.Error())
		return
	}
	targets := labelledTargets(site, label)
	if len(targets) == 0 {
		e.unknown(label+"-reach", label, "reachable", fmt.Sprintf("the site's inventory has no host with the label %s; add it to the site's known hosts", label))
	}
	for _, t := range targets {
		e.connect(ctx, label, t)
	}
}

// Package neshost is what the actions for a NES host share: the names of its services and applications, which of the web server's
// applications are NES ones, and whether they answer on the host's own address. Callers: the plugins nes and support.
package neshost

import (
	"slices"
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Services of Windows, by the key of the service control manager: their display names depend on the language.
const (
	// WebService publishes the web sites of IIS.
	WebService = "W3SVC"
	// ActivationService starts the worker processes of IIS.
	ActivationService = "WAS"
	// CertificateService is the certificate authority of Active Directory.
	CertificateService = "CertSvc"
)

// The three applications of NES, as their folders are called; the agent's roots of their folders have the same names.
const (
	Console        = "nes"
	Enrollment     = "nenrollment"
	Authentication = "authenticationservice"
)

// Role is the role of a terminal that is a NES host.
const Role = "nes-host"

// WebConfig is the configuration file in the folder of each application.
const WebConfig = "web.config"

// DefaultSite is the web site that NES is installed in.
const DefaultSite = "Default Web Site"

// Names lists the three applications.
func Names() []string { return []string{Console, Enrollment, Authentication} }

// Application is an application of the web server that belongs to NES.
type Application struct {
	// Name is Console, Enrollment or Authentication.
	Name string
	// Instance is the name that NES was installed under: the folder that holds the three applications.
	Instance string
	// Site, Path, Pool and Folder are as the web server has them ("Default Web Site", "/plant_ES", …).
	Site, Path, Pool, Folder string
}

// Applications picks the NES applications out of a web server's, in the web server's order.
func Applications(inv *actionv1.IISInventory) []Application {
	var found []Application
	for _, a := range inv.GetApplications() {
		folder := elements(a.GetFolder())
		name, instance := lastTwo(folder)
		if !slices.Contains(Names(), strings.ToLower(name)) {
			name, instance = lastTwo(elements(a.GetPath()))
		}
		if !slices.Contains(Names(), strings.ToLower(name)) {
			continue
		}
		found = append(found, Application{
			Name: strings.ToLower(name), Instance: instance, Site: a.GetSite(), Path: a.GetPath(), Pool: a.GetPool(), Folder: a.GetFolder(),
		})
	}
	return found
}

// elements splits a path of either kind of slash.
func elements(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' })
}

func lastTwo(elements []string) (last, before string) {
	if n := len(elements); n > 0 {
		last = elements[n-1]
		if n > 1 {
			before = elements[n-2]
		}
	}
	return last, before
}

// Instances lists the instances that applications belong to, sorted.
func Instances(apps []Application) []string {
	return distinct(apps, func(a Application) string { return a.Instance })
}

// Pools lists the application pools, sorted.
func Pools(apps []Application) []string {
	return distinct(apps, func(a Application) string { return a.Pool })
}

// Sites lists the web sites, sorted.
func Sites(apps []Application) []string {
	return distinct(apps, func(a Application) string { return a.Site })
}

// Of keeps the applications of one instance.
func Of(apps []Application, instance string) []Application {
	return slices.DeleteFunc(slices.Clone(apps), func(a Application) bool { return !strings.EqualFold(a.Instance, instance) })
}

func distinct(apps []Application, of func(Application) string) []string {
	var all []string
	for _, a := range apps {
		if text := of(a); text != "" {
			all = append(all, text)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

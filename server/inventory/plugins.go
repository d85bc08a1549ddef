package inventory

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

func checkPlugins(plugins []*agentv1.Plugin) error {
	if len(plugins) > maxPlugins {
		return refusal.New(refusal.Exhausted, "TOO_MANY_PLUGINS", "plugins: are %d, at most %d are allowed", len(plugins), maxPlugins).At("plugins")
	}
	for n, p := range plugins {
		field := fmt.Sprintf("plugins[%d]", n)
		if !pluginHash.MatchString(p.GetSha256()) {
			return refusal.New(refusal.Invalid, "BAD_HASH", "plugin hash: is no SHA-256 in lower case hexadecimal").At(field + ".sha256")
		}
		if err := checkManifest(p.GetManifest(), field+".manifest"); err != nil {
			return err
		}
	}
	return nil
}

func checkManifest(m *actionv1.Manifest, field string) error {
	if err := wantName("plugin", labelKey, m.GetName(), field+".name", "lower case letters, digits and dashes"); err != nil {
		return err
	}
	if size := proto.Size(m); size > maxReport {
		return refusal.New(refusal.Invalid, "TOO_LARGE", "manifest of plugin %q: is %d bytes, at most %d are allowed", m.GetName(), size, maxReport).At(field)
	}
	for n, a := range m.GetActions() {
		if err := wantName("action", labelKey, a.GetName(), fmt.Sprintf("%s.actions[%d].name", field, n), "lower case letters, digits and dashes"); err != nil {
			return err
		}
	}
	return nil
}

// SavePlugins stores manifests that a terminal was asked for.
func (i *Inventory) SavePlugins(ctx context.Context, terminalID string, plugins []*agentv1.Plugin) error {
	if err := checkPlugins(plugins); err != nil {
		return err
	}
	return i.store.Update(ctx, func(w store.Writer) error {
		r, err := findTerminal(w, terminalID)
		if err != nil {
			return err
		}
		for _, p := range plugins {
			if !slices.Contains(r.GetPluginSha256(), p.GetSha256()) {
				return refusal.New(refusal.Invalid, "NOT_INSTALLED", "terminal %q: reports a manifest of a plugin that it does not have", terminalID)
			}
		}
		_, err = i.savePlugins(w, plugins)
		return err
	})
}

// savePlugins stores the manifests that are not known and returns all hashes. A machine that gives another manifest for a
// known executable is refused: one of the two is not telling the truth.
func (i *Inventory) savePlugins(w store.Writer, plugins []*agentv1.Plugin) (hashes []string, err error) {
	for _, p := range plugins {
		hashes = append(hashes, p.GetSha256())
		known, err := read[storagev1.PluginRecord](w, store.TablePlugins, store.Key(p.GetSha256()), nil)
		switch {
		case err != nil:
			return nil, err
		case known == nil:
			err = write(w, store.TablePlugins, store.Key(p.GetSha256()), &storagev1.PluginRecord{Plugin: p})
		case !proto.Equal(known.GetPlugin(), p):
			err = refusal.New(refusal.Precondition, "MANIFEST_DIFFERS", "plugin %q: its manifest is not the one that other terminals gave for the same executable", p.GetManifest().GetName()).
				Then("install the plugin again from the release, and look into the machine")
		}
		if err != nil {
			return nil, err
		}
	}
	return hashes, nil
}

func (i *Inventory) unknownPlugins(ctx context.Context, hashes []string) (unknown []string, err error) {
	for _, sum := range hashes {
		p, err := i.plugin(ctx, sum)
		if err != nil {
			return nil, err
		}
		if p == nil {
			unknown = append(unknown, sum)
		}
	}
	return unknown, nil
}

// plugin returns a manifest by the hash of its executable, or nil when it is not known yet. It is shared: do not change it.
func (i *Inventory) plugin(ctx context.Context, sha256 string) (*agentv1.Plugin, error) {
	if p, ok := i.cached(sha256); ok {
		return p, nil
	}
	r, err := view[storagev1.PluginRecord](ctx, i.store, store.TablePlugins, store.Key(sha256), nil)
	if err != nil || r == nil {
		return nil, err
	}
	i.plugins.Store(sha256OfPlugin(sha256), r.GetPlugin())
	return r.GetPlugin(), nil
}

// ActionFor returns an action as a terminal offers it; ok is false when it does not. Both are shared: do not change them.
func (i *Inventory) ActionFor(ctx context.Context, r *storagev1.TerminalRecord, name string) (a *actionv1.Action, p *agentv1.Plugin, ok bool, err error) {
	for _, sum := range r.GetPluginSha256() {
		p, err := i.plugin(ctx, sum)
		if err != nil {
			return nil, nil, false, err
		}
		for _, a := range p.GetManifest().GetActions() {
			if a.GetName() == name {
				return a, p, true, nil
			}
		}
	}
	return nil, nil, false, nil
}

// Actions lists what the terminals that the principal may read offer, by name, most used version first.
func (i *Inventory) Actions(ctx context.Context, p *access.Principal) ([]*fleetv1.OfferedAction, error) {
	m, err := i.matcher(ctx, p, access.Read, nil)
	if err != nil {
		return nil, err
	}
	records, err := i.candidates(ctx, m)
	if err != nil {
		return nil, err
	}
	uses := map[string]uint32{}
	for _, r := range records {
		if inUse(r) {
			for _, sum := range r.GetPluginSha256() {
				uses[sum]++
			}
		}
	}
	return i.offered(ctx, uses)
}

func (i *Inventory) offered(ctx context.Context, uses map[string]uint32) (out []*fleetv1.OfferedAction, err error) {
	for sum, n := range uses {
		p, err := i.plugin(ctx, sum)
		if err != nil {
			return nil, err
		}
		for _, a := range p.GetManifest().GetActions() {
			out = append(out, &fleetv1.OfferedAction{
				Action: proto.CloneOf(a), Plugin: p.GetManifest().GetName(), PluginVersion: p.GetManifest().GetVersion(), Terminals: n,
			})
		}
	}
	slices.SortFunc(out, func(a, b *fleetv1.OfferedAction) int {
		if c := strings.Compare(a.GetAction().GetName(), b.GetAction().GetName()); c != 0 {
			return c
		}
		if a.GetTerminals() != b.GetTerminals() {
			return int(b.GetTerminals()) - int(a.GetTerminals())
		}
		return strings.Compare(b.GetPluginVersion(), a.GetPluginVersion())
	})
	return merged(out), nil
}

// merged makes one entry of the same action of several builds (one executable per operating system).
func merged(sorted []*fleetv1.OfferedAction) (out []*fleetv1.OfferedAction) {
	for _, o := range sorted {
		n := slices.IndexFunc(out, func(e *fleetv1.OfferedAction) bool {
			return e.GetPlugin() == o.GetPlugin() && e.GetPluginVersion() == o.GetPluginVersion() && proto.Equal(e.GetAction(), o.GetAction())
		})
		if n >= 0 {
			out[n].Terminals += o.GetTerminals()
			continue
		}
		out = append(out, o)
	}
	return out
}

// Action returns the versions of an action that are offered to the principal, or a refusal that lists the known names.
func (i *Inventory) Action(ctx context.Context, p *access.Principal, name string) ([]*fleetv1.OfferedAction, error) {
	all, err := i.Actions(ctx, p)
	if err != nil {
		return nil, err
	}
	named := slices.DeleteFunc(slices.Clone(all), func(o *fleetv1.OfferedAction) bool { return o.GetAction().GetName() != name })
	if len(named) > 0 {
		return named, nil
	}
	return nil, UnknownAction(name, all)
}

// UnknownAction is the refusal of an action that nobody offers.
func UnknownAction(name string, known []*fleetv1.OfferedAction) error {
	var names []string
	for _, o := range known {
		names = append(names, o.GetAction().GetName())
	}
	r := refusal.New(refusal.NotFound, "UNKNOWN_ACTION", "action %q: is offered by none of your terminals", clipped(name))
	if names = slices.Compact(names); len(names) > 0 {
		return r.Then("use one of %s", strings.Join(names, ", "))
	}
	return r.Then("enrol terminals with plugins first")
}

// Installed lists a terminal's plugins for people.
func (i *Inventory) Installed(ctx context.Context, r *storagev1.TerminalRecord) (out []*fleetv1.InstalledPlugin, err error) {
	for _, sum := range r.GetPluginSha256() {
		p, err := i.plugin(ctx, sum)
		if err != nil {
			return nil, err
		}
		installed := &fleetv1.InstalledPlugin{Name: p.GetManifest().GetName(), Version: p.GetManifest().GetVersion(), Sha256: sum}
		for _, a := range p.GetManifest().GetActions() {
			installed.Actions = append(installed.Actions, a.GetName())
		}
		out = append(out, installed)
	}
	return out, nil
}

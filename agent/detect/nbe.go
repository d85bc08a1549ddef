package detect

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/bandfleet/bandfleet/agent/configfile"
	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
)

// Files of the Bluetooth Endpoint, in the order in which a later one wins.
const (
	templateFile = "nbe.default.toml"
	configFile   = "nbe.toml"
	// maxConfig is more than any of them has, in bytes.
	maxConfig = 256 << 10
)

// Keys of nbe.toml.
const (
	keyAgentURL   = "agent_url"
	keyWindowTap  = "rssi_window_tap"
	keyWindowLong = "rssi_window_long"
	keyTap        = "rssi_tap_threshold"
	keyClose      = "rssi_cutoff_close"
	keyFar        = "rssi_cutoff_far"
)

// vendorDefaults are in force for what no file says (guide: nbe.toml; rssi_window_long is from the vendor's later pages).
func vendorDefaults() map[string]string {
	return map[string]string{
		keyAgentURL: `"ws://127.0.0.1:9120/socket/websocket"`, keyWindowTap: "10", keyWindowLong: "50", keyTap: "0", keyClose: "-70", keyFar: "-75",
	}
}

// nbeConfig is the configuration of the Bluetooth Endpoint.
type nbeConfig struct {
	// exists: nbe.toml is there.
	exists bool
	// text are the values in force, as TOML has them; own are the keys that nbe.toml itself has.
	text map[string]string
	own  map[string]bool
	// malformed says what is wrong with a file that is none of TOML; empty when nothing is.
	malformed string
}

// nbeCache reads the files again only when they have changed. One goroutine uses it.
type nbeCache struct {
	identity string
	config   nbeConfig
	err      error
}

// get returns the configuration. An error says that a file is there and cannot be read.
func (c *nbeCache) get(ctx context.Context, files host.Files) (nbeConfig, error) {
	identity, err := identityOf(ctx, files)
	if err != nil {
		return nbeConfig{}, err
	}
	if identity != c.identity {
		c.config, c.err = readNBE(ctx, files)
		c.identity = identity
		if c.err != nil {
			c.identity = "" // it may be better next time
		}
	}
	return c.config, c.err
}

// identityOf tells versions of the files apart without reading them.
func identityOf(ctx context.Context, files host.Files) (string, error) {
	identity := "files"
	for _, name := range []string{templateFile, configFile} {
		state, err := files.Stat(ctx, host.EndpointRoot, name)
		if errors.Is(err, host.ErrNotExist) { // there is not even a folder
			state, err = &actionv1.FileState{}, nil
		}
		if err != nil {
			return "", err
		}
		identity += fmt.Sprintf(" %v %d %d", state.GetExists(), state.GetSize(), state.GetModified().AsTime().UnixNano())
	}
	return identity, nil
}

func readNBE(ctx context.Context, files host.Files) (nbeConfig, error) {
	config := nbeConfig{text: vendorDefaults(), own: map[string]bool{}}
	for _, name := range []string{templateFile, configFile} {
		content, more, err := files.Read(ctx, host.EndpointRoot, name, maxConfig)
		if errors.Is(err, host.ErrNotExist) {
			continue
		}
		if err == nil && more {
			err = fmt.Errorf("file %q: is longer than %d bytes", name, maxConfig)
		}
		if err != nil {
			return config, err
		}
		config.exists = name == configFile
		if err := config.add(name, content); err != nil {
			return config, err
		}
	}
	return config, nil
}

// add takes in what a file says.
func (c *nbeConfig) add(name string, content []byte) error {
	file, err := configfile.Parse(actionv1.ConfigFormat_CONFIG_FORMAT_TOML, content)
	if broken, ok := errors.AsType[*configfile.MalformedError](err); ok {
		c.malformed = fmt.Sprintf("%s: %v", name, broken)
		return nil
	}
	if err != nil {
		return fmt.Errorf("file %q: %w", name, err)
	}
	for _, v := range file.Values {
		c.text[v.GetKey()] = v.GetValue()
		c.own[v.GetKey()] = name == configFile
	}
	return nil
}

// readConfig reads all that nbe.toml tells.
func (c *nbeCache) readConfig(ctx context.Context, v view) ([]Reading, error) {
	config, err := c.get(ctx, v.cfg.Host.Files)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		unread := read("nbe-config", "unreadable", said("file", configFile), said("cause", err.Error()))
		return append(unknown(err, "nbe-agent-url", "nbe-tap", "nbe-drift"), unread), nil
	}
	if config.malformed != "" {
		broken := errors.New(config.malformed)
		return append(unknown(broken, "nbe-agent-url", "nbe-tap", "nbe-drift"), read("nbe-config", "invalid", said("cause", config.malformed))), nil
	}
	return []Reading{config.rules(), config.urlReading(), config.tap(v.site.GetNbeProfile()), config.drift(v.site.GetNbeProfile())}, nil
}

// rules says whether all values are as the guide wants them.
func (c nbeConfig) rules() Reading {
	var wrong []string
	for _, rule := range []struct {
		key         string
		least, most int
	}{{keyWindowTap, 1, 1000}, {keyWindowLong, 1, 10000}, {keyTap, -127, 0}, {keyClose, -127, 0}, {keyFar, -127, -1}} {
		n, err := strconv.Atoi(c.text[rule.key])
		if err != nil || n < rule.least || n > rule.most {
			wrong = append(wrong, fmt.Sprintf("%s is %s, want a whole number from %d to %d", rule.key, c.text[rule.key], rule.least, rule.most))
		}
	}
	near, errNear := strconv.Atoi(c.text[keyClose])
	far, errFar := strconv.Atoi(c.text[keyFar])
	if errNear == nil && errFar == nil && near != 0 && far >= near {
		wrong = append(wrong, fmt.Sprintf("%s is %d, want less than %s, which is %d", keyFar, far, keyClose, near))
	}
	switch {
	case len(wrong) > 0:
		return read("nbe-config", "invalid", said("cause", strings.Join(wrong, "; ")))
	case !c.exists:
		return read("nbe-config", "absent", said("file", configFile))
	}
	return read("nbe-config", "ok", said("file", configFile))
}

// urlReading says whether nbe.toml names the Nymi Agent. Without nbe.toml the defaults are in force, which do.
func (c nbeConfig) urlReading() Reading {
	const signal = "nbe-agent-url"
	if c.exists && !c.own[keyAgentURL] {
		return read(signal, "missing", said("file", configFile))
	}
	url, err := c.agentURL()
	if err != nil {
		return read(signal, "malformed", said("value", c.text[keyAgentURL]), said("cause", err.Error()))
	}
	return read(signal, "ok", said("value", url.text))
}

// tap says whether taps work. A site whose profile switches them off wants that.
func (c nbeConfig) tap(profile map[string]string) Reading {
	const signal = "nbe-tap"
	n, err := strconv.Atoi(c.text[keyTap])
	switch {
	case err != nil:
		return read(signal, catalogue.Unknown, said("cause", keyTap+" is no whole number"))
	case n == 0 && profile[keyTap] == "0":
		return read(signal, "on", said("value", "0, as the site's profile wants it"))
	}
	return read(signal, either(n == 0, "off", "on"), said("value", c.text[keyTap]))
}

// drift compares with the site's profile.
func (c nbeConfig) drift(profile map[string]string) Reading {
	var others []seen
	for _, key := range slices.Sorted(maps.Keys(profile)) {
		if strings.Trim(c.text[key], `"`) != strings.Trim(profile[key], `"`) {
			others = append(others, said(key, fmt.Sprintf("%s, the profile has %s", either(c.text[key] == "", "not set", c.text[key]), profile[key])))
		}
	}
	return read("nbe-drift", either(len(others) > 0, "drifted", "none"), others...)
}

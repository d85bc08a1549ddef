package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// webSetters are what can be set on a NES host besides.
func webSetters() map[string]setter {
	return map[string]setter{
		"certificate": {"valid-for=DURATION|for=NAME", 1, func(ctx context.Context, t *terminal, v []string) error { return t.setCertificate(ctx, v[0]) }},
		"bind":        {"SHA256|none|missing", 1, func(ctx context.Context, t *terminal, v []string) error { return t.bind(ctx, v[0]) }},
		"site": {"NAME started|stopped", 2, func(ctx context.Context, t *terminal, v []string) error {
			return t.setWeb(ctx, v[0], v[1], func(w *webRecord, started bool) error {
				return replace(w.Sites, v[0], func(bool) bool { return started })
			})
		}},
		"pool": {"NAME started|stopped", 2, func(ctx context.Context, t *terminal, v []string) error {
			return t.setWeb(ctx, v[0], v[1], func(w *webRecord, started bool) error {
				return replace(w.Pools, v[0], func(p poolRecord) poolRecord { p.Started = started; return p })
			})
		}},
		"pool-identity": {"NAME IDENTITY", 2, func(ctx context.Context, t *terminal, v []string) error {
			return iis{t}.change(ctx, v[0], func(w *webRecord) error {
				return replace(w.Pools, v[0], func(p poolRecord) poolRecord { p.Identity = v[1]; return p })
			})
		}},
		"ssl-flags": {"LOCATION FLAGS|None", 2, func(ctx context.Context, t *terminal, v []string) error {
			return iis{t}.change(ctx, v[0], func(w *webRecord) error { w.Flags[v[0]] = v[1]; return nil })
		}},
		"ca-certificate": {"valid-for=DURATION", 1, func(ctx context.Context, t *terminal, v []string) error { return t.newCA(ctx, v[0]) }},
		"ca-provider":    {"ok|other|none", 1, func(ctx context.Context, t *terminal, v []string) error { return t.setProvider(ctx, v[0]) }},
		"auth-url":       {"URL|none", 1, func(ctx context.Context, t *terminal, v []string) error { return t.setAuthURL(ctx, v[0]) }},
		"log-level": {"APPLICATION SWITCH LEVEL", 3, func(ctx context.Context, t *terminal, v []string) error {
			return t.setLevel(ctx, v[0], v[1], v[2])
		}},
		"answer": {"PATH STATUS[.SUBSTATUS]|none", 2, func(ctx context.Context, t *terminal, v []string) error { return t.setAnswer(ctx, v[0], v[1]) }},
	}
}

// setWeb changes what is started or stopped.
func (t *terminal) setWeb(ctx context.Context, object, state string, do func(*webRecord, bool) error) error {
	if state != "started" && state != "stopped" {
		return fmt.Errorf("%q: %q: use started or stopped", object, state)
	}
	return iis{t}.change(ctx, object, func(w *webRecord) error { return do(w, state == "started") })
}

// setAnswer has a path be answered with a status, whatever the applications do.
func (t *terminal) setAnswer(ctx context.Context, path, text string) error {
	first, second, _ := strings.Cut(text, ".")
	status, err := strconv.Atoi(first)
	substatus := 0
	if second != "" && err == nil {
		substatus, err = strconv.Atoi(second)
	}
	if text != "none" && (err != nil || status < 200 || status > 599) {
		return fmt.Errorf("answer %q: %q: want an HTTP status from 200 to 599 (500.19 with a substatus), or none", path, text)
	}
	return iis{t}.change(ctx, path, func(w *webRecord) error {
		if w.Answers == nil {
			w.Answers = map[string]int{}
		}
		if w.Substatus == nil {
			w.Substatus = map[string]int{}
		}
		w.Answers[path], w.Substatus[path] = status, substatus
		if text == "none" {
			delete(w.Answers, path)
			delete(w.Substatus, path)
		}
		return nil
	})
}

// setCertificate issues another certificate and binds it.
func (t *terminal) setCertificate(ctx context.Context, text string) error {
	if name, ok := strings.CutPrefix(text, "for="); ok && name != "" {
		return t.bindNew(ctx, yearLong, name)
	}
	valid, err := validFor("certificate", text)
	if err != nil {
		return err
	}
	return t.bindNew(ctx, valid, t.Hostname)
}

// validFor reads "valid-for=21d".
func validFor(what, text string) (time.Duration, error) {
	value, ok := strings.CutPrefix(text, "valid-for=")
	valid, err := parseDays(value)
	if !ok || err != nil {
		return 0, fmt.Errorf("%s: %q: want valid-for=DURATION, for example valid-for=21d; a negative one has expired", what, text)
	}
	return valid, nil
}

// parseDays reads a duration, which may be in days ("21d").
func parseDays(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(text)
}

// bind has the default site serve a certificate that is in a store with its key, or none at all.
func (t *terminal) bind(ctx context.Context, sha256 string) error {
	wanted := bindingRecord{Site: defaultSite, Address: "*", Port: httpsPort}
	switch sha256 {
	case "none":
		return bindings{t}.Set(ctx, wanted.proto())
	case "missing":
		return bindings{t}.Remove(ctx, wanted.proto())
	}
	for _, store := range []string{"WebHosting", "My"} {
		there, err := t.has(store, strings.ToLower(sha256)+keyFile)
		if err != nil {
			return err
		}
		if there {
			wanted.Certificate, wanted.Store = strings.ToLower(sha256), store
			return bindings{t}.Set(ctx, wanted.proto())
		}
	}
	return fmt.Errorf("bind: certificate %q is in no store of this host with its key: `fleet-agent sim show` lists those that are", sha256)
}

// usages are the lines of a help text.
func usages(all map[string]setter) []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		lines = append(lines, fmt.Sprintf("`%s %s`", name, all[name].usage))
	}
	return lines
}

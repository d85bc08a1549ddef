package detect

import (
	"context"
	"errors"
	"strings"

	"github.com/bandfleet/bandfleet/agent/host"
)

// Where applications look for the URL of NES (guide: Unable to reach NES). A group policy's value wins.
const (
	nesKey    = `SOFTWARE\Nymi\NES`
	policyKey = `SOFTWARE\Policies\Nymi\NES`
	nesValue  = "URL"
)

// readNESURL compares the URL in the registry with those of the NES hosts that the site has for this terminal.
func readNESURL(ctx context.Context, v view) ([]Reading, error) {
	const signal = "nes-url"
	from := policyKey
	text, err := v.cfg.Host.Registry.Get(ctx, policyKey, nesValue)
	if errors.Is(err, host.ErrNotExist) {
		from = nesKey
		text, err = v.cfg.Host.Registry.Get(ctx, nesKey, nesValue)
	}
	if errors.Is(err, host.ErrNotExist) || err == nil && strings.TrimSpace(text) == "" {
		return []Reading{read(signal, "missing", said("key", nesKey))}, nil
	}
	if err != nil {
		return nil, err
	}
	details := []seen{said("key", from), said("value", text), said("expected", strings.Join(usedURLs(v), " or "))}
	return []Reading{read(signal, nesURLValue(text, usedURLs(v)), details...)}, nil
}

func nesURLValue(text string, wanted []string) string {
	if !strings.HasPrefix(strings.ToLower(text), "https://") {
		return "not-https"
	}
	for _, url := range wanted {
		if sameURL(url, text) {
			return "ok"
		}
	}
	// Without a NES host in the inventory there is nothing to differ from.
	return either(len(wanted) > 0, "differs", "ok")
}

// sameURL compares URLs as people mean them: in any case, with or without a slash at the end.
func sameURL(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(strings.TrimSpace(a), "/"), strings.TrimSuffix(strings.TrimSpace(b), "/"))
}

// usedURLs are those of the NES hosts that this terminal is to use.
func usedURLs(v view) []string {
	var urls []string
	for _, h := range v.site.GetNesHosts() {
		if h.GetUsed() {
			urls = append(urls, h.GetUrl())
		}
	}
	return urls
}

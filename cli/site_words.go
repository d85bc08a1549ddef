package cli

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/bandfleet/bandfleet/proto/certfacts"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
)

// weekdays from Monday, as windows are written.
func weekdays() []string { return []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"} }

// parseWindow reads "mon-fri,sun 22:00-04:00"; without days it is every day.
func parseWindow(text string) (*fleetv1.Window, error) {
	fields := strings.Fields(text)
	if len(fields) == 0 || len(fields) > 2 {
		return nil, errors.New(`want days and times, such as "mon-fri 22:00-04:00"`)
	}
	w := &fleetv1.Window{}
	if len(fields) == 2 {
		days, err := parseDays(fields[0])
		if err != nil {
			return nil, err
		}
		w.Days = days
	}
	var ok bool
	if w.Start, w.End, ok = strings.Cut(fields[len(fields)-1], "-"); !ok {
		return nil, fmt.Errorf("%q is no span of time, such as 22:00-04:00", fields[len(fields)-1])
	}
	return w, nil
}

// parseDays reads "mon-wed,sun". A span may go over the end of the week: "sat-mon".
func parseDays(text string) (days []uint32, err error) {
	for part := range strings.SplitSeq(strings.ToLower(text), ",") {
		first, last, span := strings.Cut(part, "-")
		if !span {
			last = first
		}
		from, to := slices.Index(weekdays(), first), slices.Index(weekdays(), last)
		if from < 0 || to < 0 {
			return nil, fmt.Errorf("%q is no day; days are %s", part, strings.Join(weekdays(), ", "))
		}
		for d := from; ; d = (d + 1) % 7 {
			days = append(days, uint32(d+1))
			if d == to {
				break
			}
		}
	}
	slices.Sort(days)
	return slices.Compact(days), nil
}

// windowWords writes what parseWindow reads.
func windowWords(w *fleetv1.Window) string {
	span := w.GetStart() + "-" + w.GetEnd()
	if len(w.GetDays()) == 0 {
		return span
	}
	return dayWords(w.GetDays()) + " " + span
}

// dayWords joins three days or more in a row to a span.
func dayWords(days []uint32) string {
	var out []string
	for n := 0; n < len(days); {
		last := n
		for last+1 < len(days) && days[last+1] == days[last]+1 {
			last++
		}
		if last >= n+2 {
			out = append(out, dayWord(days[n])+"-"+dayWord(days[last]))
			n = last + 1
			continue
		}
		out = append(out, dayWord(days[n]))
		n++
	}
	return strings.Join(out, ",")
}

func dayWord(d uint32) string {
	if d < 1 || d > 7 {
		return "day " + strconv.FormatUint(uint64(d), 10)
	}
	return weekdays()[d-1]
}

// parseBlackout reads "2026-12-24T00:00/2026-12-27T06:00 stock-taking".
func parseBlackout(text string) (*fleetv1.Blackout, error) {
	span, reason, _ := strings.Cut(strings.TrimSpace(text), " ")
	start, end, ok := strings.Cut(span, "/")
	if !ok {
		return nil, errors.New(`want start/end and a reason, such as "2026-12-24T00:00/2026-12-27T06:00 stock-taking"`)
	}
	return &fleetv1.Blackout{Start: start, End: end, Reason: strings.TrimSpace(reason)}, nil
}

// blackoutWords writes what parseBlackout reads.
func blackoutWords(b *fleetv1.Blackout) string {
	return joinWords(" ", b.GetStart()+"/"+b.GetEnd(), b.GetReason())
}

// usedBy stands between the address of a NES host and the expression that says who uses it.
const usedBy = ";used-by "

// parseNESHost reads "HOST=URL" or "HOST=URL;used-by EXPRESSION".
func parseNESHost(text string) (*fleetv1.NESHost, error) {
	address, users, _ := strings.Cut(text, usedBy)
	host, url, ok := strings.Cut(address, "=")
	if !ok || host == "" {
		return nil, errors.New(`want host and address, such as nes-lyon-1=https://nes-lyon-1.example/nes`)
	}
	return &fleetv1.NESHost{Host: host, Url: url, UsedBy: strings.TrimSpace(users)}, nil
}

// nesHostWords writes what parseNESHost reads.
func nesHostWords(h *fleetv1.NESHost) string {
	if h.GetUsedBy() == "" {
		return h.GetHost() + "=" + h.GetUrl()
	}
	return h.GetHost() + "=" + h.GetUrl() + usedBy + h.GetUsedBy()
}

// parseRoot reads "NAME=SHA256", the hash with or without colons and in any case, or "NAME=FILE" with a certificate in PEM or DER.
func parseRoot(text string) (*fleetv1.ApprovedRoot, error) {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" || value == "" {
		return nil, errors.New(`want a name and a SHA-256 or a certificate's file, such as "Plant root=root.pem"`)
	}
	hash := strings.ToLower(strings.ReplaceAll(value, ":", ""))
	if regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(hash) {
		return &fleetv1.ApprovedRoot{Name: name, Sha256: hash}, nil
	}
	der, err := readCertificate(value)
	if err != nil {
		return nil, err
	}
	return &fleetv1.ApprovedRoot{Name: name, Sha256: certfacts.SHA256(der), Certificate: der}, nil
}

// rootWords writes a root for people; what parseRoot reads is before the bracket.
func rootWords(r *fleetv1.ApprovedRoot) string {
	if len(r.GetCertificate()) == 0 {
		return r.GetName() + "=" + r.GetSha256()
	}
	return r.GetName() + "=" + r.GetSha256() + " (with its certificate)"
}

// parseKnownHost reads "LABEL=HOST:PORT".
func parseKnownHost(text string) (*fleetv1.KnownHost, error) {
	label, address, ok := strings.Cut(text, "=")
	if !ok || label == "" || address == "" {
		return nil, errors.New("want a label, host and port, such as ad=dc1.lyon.example:636")
	}
	return &fleetv1.KnownHost{Label: label, Address: address}, nil
}

// knownHostWords writes what parseKnownHost reads.
func knownHostWords(h *fleetv1.KnownHost) string { return h.GetLabel() + "=" + h.GetAddress() }

// maxCertificate is how large a certificate's file may be, in bytes.
const maxCertificate = 64 << 10

// readCertificate returns the one certificate of a file, in DER.
func readCertificate(path string) ([]byte, error) {
	text, err := readBounded(path, maxCertificate)
	if err != nil {
		return nil, fmt.Errorf("is no SHA-256, and as a file: %w", err)
	}
	if !strings.Contains(string(text), "-----BEGIN") {
		text = identity.MarshalCertificates(text)
	}
	all, err := identity.ParseCertificates(text)
	if err != nil || len(all) != 1 {
		return nil, fmt.Errorf("file %q: want one certificate in PEM or DER", path)
	}
	return all[0].Raw, nil
}

// readBounded reads a file of at most so many bytes.
func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAtMost(f, most)
}

package inventory

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// EditBand changes a band in the caller's update and adds an event to its history; the caller sees to the audit record. It writes one
// key. The event's time, status and wearer are those that the band has afterwards.
func EditBand(w store.Writer, now time.Time, serial string, edit func(*fleetv1.Band) (*fleetv1.BandEvent, error)) (*fleetv1.Band, error) {
	b, err := readBand(w, serial, nil)
	if err != nil {
		return nil, err
	}
	event, err := edit(b)
	if err != nil {
		return nil, err
	}
	event.Time = timestamppb.New(now)
	remember(b, event)
	return b, write(w, store.TableBands, store.Key(access.Fold(b.GetSerial())), b)
}

// NoteBand adds what was said of a band to its history, in the caller's update. One that is not in the inventory is left out.
func NoteBand(w store.Writer, now time.Time, serial, by, text string) error {
	_, err := EditBand(w, now, serial, func(*fleetv1.Band) (*fleetv1.BandEvent, error) {
		return &fleetv1.BandEvent{Actor: by, Note: text}, nil
	})
	if no, ok := errors.AsType[*refusal.Error](err); ok && no.Kind == refusal.NotFound {
		return nil
	}
	return err
}

// remember adds an event of the band's present state to its history.
func remember(b *fleetv1.Band, e *fleetv1.BandEvent) {
	e.Status, e.Wearer = b.GetStatus(), b.GetWearer()
	b.History = append(b.History, e)
	b.History = b.History[max(0, len(b.History)-maxHistory):]
}

// MayBecome refuses to give out a band that was lost before somebody says that it was wiped: it holds its last wearer's data.
func MayBecome(b *fleetv1.Band, status fleetv1.BandStatus) error {
	given := status == fleetv1.BandStatus_BAND_STATUS_ASSIGNED || status == fleetv1.BandStatus_BAND_STATUS_TEMPORARY
	if !given || !b.GetWipeBeforeUse() && b.GetStatus() != fleetv1.BandStatus_BAND_STATUS_LOST {
		return nil
	}
	return refusal.New(refusal.Precondition, "NOT_WIPED", "band %q: was lost, and nobody says that it was wiped since", b.GetSerial()).
		Then("report it found with `fleetctl band found %s`, delete the user's data on it, and say so with `fleetctl band wiped %s`", b.GetSerial(), b.GetSerial())
}

// setStatus changes a band's status. What was lost must be wiped before it is used again.
func setStatus(b *fleetv1.Band, status fleetv1.BandStatus) {
	b.Status = status
	b.WipeBeforeUse = b.GetWipeBeforeUse() || status == fleetv1.BandStatus_BAND_STATUS_LOST
}

// ValidFirmware says whether text can be a band's firmware version.
func ValidFirmware(text string) bool { return firmwareVersion.MatchString(text) }

// OlderFirmware says whether a firmware version is older than another, by the numbers at their beginning. What cannot be compared is not.
func OlderFirmware(version, than string) bool {
	a, b := firmwareNumbers(version), firmwareNumbers(than)
	for n := range max(len(a), len(b)) {
		switch x, y := at0(a, n), at0(b, n); {
		case x < y:
			return len(a) > 0
		case x > y:
			return false
		}
	}
	return false
}

func firmwareNumbers(version string) (numbers []uint64) {
	for _, part := range strings.Split(version, ".") {
		digits := part[:len(part)-len(strings.TrimLeft(part, "0123456789"))]
		n, err := strconv.ParseUint(digits, 10, 64)
		if err != nil {
			break
		}
		numbers = append(numbers, n)
		if digits != part {
			break
		}
	}
	return numbers
}

func at0(numbers []uint64, n int) uint64 {
	if n < len(numbers) {
		return numbers[n]
	}
	return 0
}

// PutBand stores a band as it is, in the caller's update, after EditBand.
func PutBand(w store.Writer, b *fleetv1.Band) error {
	return write(w, store.TableBands, store.Key(access.Fold(b.GetSerial())), b)
}

package inventory

import (
	"context"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/requests"
	"github.com/bandfleet/bandfleet/server/store"
)

// maxHistory is how many events a band keeps; the oldest go first. The audit chain keeps all.
const maxHistory = 200

// CreateBand adds a band.
func (i *Inventory) CreateBand(ctx context.Context, by identity.Name, req *fleetv1.CreateBandRequest) (*fleetv1.Band, error) {
	if err := checkBand(req); err != nil {
		return nil, err
	}
	request, err := requests.New(by.String(), "band.create", req)
	if err != nil {
		return nil, err
	}
	var b *fleetv1.Band
	err = i.store.Update(ctx, func(w store.Writer) error {
		if done, err := request.Done(w); err != nil || done != "" {
			b, err = readBand(w, done, err)
			return err
		}
		site, err := readSite(w, req.GetSite(), nil)
		if err != nil {
			return err
		}
		b = i.newBand(by, site.GetName(), req)
		return i.addBand(w, by, request, b)
	})
	return b, err
}

func checkBand(req *fleetv1.CreateBandRequest) error {
	if err := wantName("band", bandSerial, req.GetSerial(), "serial", "the serial number as printed on the band, such as AAAH-00125"); err != nil {
		return err
	}
	if err := checkStatus(req.GetStatus(), true); err != nil {
		return err
	}
	if err := wantText("firmware version", req.GetFirmwareVersion(), "firmware_version", maxVersion); err != nil {
		return err
	}
	if err := wantText("wearer", req.GetWearer(), "wearer", maxWearer); err != nil {
		return err
	}
	return wantText("note", req.GetNote(), "note", maxNote)
}

func checkStatus(s fleetv1.BandStatus, unspecified bool) error {
	_, known := fleetv1.BandStatus_name[int32(s)]
	if known && (unspecified || s != fleetv1.BandStatus_BAND_STATUS_UNSPECIFIED) {
		return nil
	}
	return refusal.New(refusal.Invalid, "BAD_STATUS", "band status %d: does not exist", s).At("status")
}

func (i *Inventory) newBand(by identity.Name, site string, req *fleetv1.CreateBandRequest) *fleetv1.Band {
	b := &fleetv1.Band{
		Serial: req.GetSerial(), Site: site, Status: req.GetStatus(), FirmwareVersion: req.GetFirmwareVersion(), Wearer: req.GetWearer(),
	}
	if b.GetStatus() == fleetv1.BandStatus_BAND_STATUS_UNSPECIFIED {
		b.Status = fleetv1.BandStatus_BAND_STATUS_IN_STOCK
	}
	i.note(b, by, req.GetNote())
	return b
}

func (i *Inventory) addBand(w store.Writer, by identity.Name, request *requests.Request, b *fleetv1.Band) error {
	key := access.Fold(b.GetSerial())
	if there, err := has(w, store.TableBands, store.Key(key)); err != nil || there {
		return orExists(err, access.Band, b.GetSerial())
	}
	if err := write(w, store.TableBands, store.Key(key), b); err != nil {
		return err
	}
	if err := w.Put(store.TableBandSites, store.Key(b.GetSite(), key), nil); err != nil {
		return err
	}
	if err := request.Remember(w, i.now(), key); err != nil {
		return err
	}
	return audit.Append(w, i.now(), audit.Entry{
		Site: b.GetSite(), Actor: by, Verb: "band.create", Object: "band/" + b.GetSerial(),
		Changes: changes("status", "", b.GetStatus().String(), "wearer", "", b.GetWearer(), "firmware_version", "", b.GetFirmwareVersion()),
	})
}

// note adds an event of the band's present state to its history.
func (i *Inventory) note(b *fleetv1.Band, by identity.Name, text string) {
	remember(b, &fleetv1.BandEvent{Time: timestamppb.New(i.now()), Actor: by.String(), Note: text})
}

// Band returns a band by serial.
func (i *Inventory) Band(ctx context.Context, serial string) (b *fleetv1.Band, err error) {
	err = i.store.View(ctx, func(v store.Snapshot) error {
		b, err = readBand(v, serial, nil)
		return err
	})
	return b, err
}

func readBand(r store.Reader, serial string, err error) (*fleetv1.Band, error) {
	if err != nil {
		return nil, err
	}
	notFound := access.NotFound(access.Band, clipped(serial))
	if !bandSerial.MatchString(serial) {
		return nil, notFound
	}
	return read[fleetv1.Band](r, store.TableBands, store.Key(access.Fold(serial)), notFound)
}

// Bands lists bands that the principal may read, by serial, without their history.
func (i *Inventory) Bands(ctx context.Context, p *access.Principal, req *fleetv1.ListBandsRequest) ([]*fleetv1.Band, string, error) {
	if err := checkStatus(req.GetStatus(), true); err != nil {
		return nil, "", err
	}
	m := &matcher{}
	if req.GetSite() != "" {
		if err := i.matchSites(ctx, p, access.Read, []string{req.GetSite()}, m); err != nil {
			return nil, "", at(err, "site")
		}
	}
	page := Page{Size: req.GetPageSize(), Token: req.GetPageToken()}
	return list(ctx, i.store, store.TableBands, page, func(_, value []byte) (*fleetv1.Band, bool, error) {
		b := &fleetv1.Band{}
		if err := proto.Unmarshal(value, b); err != nil {
			return nil, false, err
		}
		b.History = nil
		ok := p.May(access.Read, b.GetSite()) && (m.sites == nil || m.sites[b.GetSite()]) &&
			(req.GetStatus() == fleetv1.BandStatus_BAND_STATUS_UNSPECIFIED || b.GetStatus() == req.GetStatus())
		return b, ok, nil
	})
}

// SetBandStatus changes a band's status, and its wearer when asked to. It changes nothing in NES.
func (i *Inventory) SetBandStatus(ctx context.Context, by identity.Name, req *fleetv1.SetBandStatusRequest) (b *fleetv1.Band, err error) {
	if err := checkSetStatus(req); err != nil {
		return nil, err
	}
	err = i.store.Update(ctx, func(w store.Writer) error {
		if b, err = readBand(w, req.GetSerial(), nil); err != nil {
			return err
		}
		old := proto.CloneOf(b)
		if err := MayBecome(b, req.GetStatus()); err != nil {
			return err
		}
		setStatus(b, req.GetStatus())
		if req.GetClearWearer() || req.GetWearer() != "" {
			b.Wearer = req.GetWearer()
		}
		diff := changes("status", old.GetStatus().String(), b.GetStatus().String(), "wearer", old.GetWearer(), b.GetWearer())
		if len(diff) == 0 && req.GetNote() == "" {
			return nil
		}
		i.note(b, by, req.GetNote())
		if err := write(w, store.TableBands, store.Key(access.Fold(b.GetSerial())), b); err != nil {
			return err
		}
		return audit.Append(w, i.now(), audit.Entry{
			Site: b.GetSite(), Actor: by, Verb: "band.set-status", Object: "band/" + b.GetSerial(), Reason: req.GetNote(), Changes: diff,
		})
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

func checkSetStatus(req *fleetv1.SetBandStatusRequest) error {
	if err := checkStatus(req.GetStatus(), false); err != nil {
		return err
	}
	if req.GetClearWearer() && req.GetWearer() != "" {
		return refusal.New(refusal.Invalid, "BAD_WEARER", "wearer %q: is to be set and to be removed", clipped(req.GetWearer())).At("wearer")
	}
	if err := wantText("wearer", req.GetWearer(), "wearer", maxWearer); err != nil {
		return err
	}
	return wantText("note", req.GetNote(), "note", maxNote)
}

package host

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
)

// sslKey is an endpoint of the HTTP driver: an address and a port, or, with SNI, a host name and a port.
type sslKey struct {
	address netip.Addr
	host    string
	port    uint16
}

// sslRecord is what the driver keeps for an endpoint (HTTP_SERVICE_CONFIG_SSL_PARAM): the certificate, and how clients' certificates are
// checked, which stays as it is when the certificate changes.
type sslRecord struct {
	// sha1 is the certificate's thumbprint, lower case hexadecimal.
	sha1 string
	// store is as the driver has it; empty stands for "MY".
	store string
	appID [16]byte

	checkMode, freshness, retrievalTimeout, flags uint32 //nolint:unused // read and written with the driver of Windows
	trustList, trustListStore                     string //nolint:unused // likewise
}

// iisAppID marks the records that the web server's own tools make: {4dc3e181-e14b-4a21-b022-59fc669b0914}.
func iisAppID() [16]byte {
	return [16]byte{0x81, 0xe1, 0xc3, 0x4d, 0x4b, 0xe1, 0x21, 0x4a, 0xb0, 0x22, 0x59, 0xfc, 0x66, 0x9b, 0x09, 0x14}
}

// storeName is the store as the contract writes it: the driver writes names in any case.
func (r sslRecord) storeName() string {
	if r.store == "" {
		return "My"
	}
	known := StoreNames()
	if at := slices.IndexFunc(known, func(name string) bool { return strings.EqualFold(name, r.store) }); at >= 0 {
		return known[at]
	}
	return r.store
}

// sslRecords are the records of the HTTP driver.
type sslRecords interface {
	// read returns a record. ErrNotExist when there is none.
	read(sslKey) (sslRecord, error)
	// add makes a record that is not there.
	add(sslKey, sslRecord) error
	// update changes a record in place. ErrNotSupported where the driver cannot (before Windows 10 version 1703).
	update(sslKey, sslRecord) error
	// remove removes a record. ErrNotExist when there is none.
	remove(sslKey) error
}

// putRecord has an endpoint keep a record, in place of the one that is there. Where the driver cannot change one in place, the endpoint has
// none for a moment: then it is made at once, and again if that fails, and if it cannot be made the earlier one is put back.
func putRecord(records sslRecords, key sslKey, record sslRecord) error {
	earlier, err := records.read(key)
	if errors.Is(err, ErrNotExist) {
		return addRecord(records, key, record)
	}
	if err != nil {
		return err
	}
	if err := records.update(key, record); !errors.Is(err, ErrNotSupported) {
		return err
	}
	if err := records.remove(key); err != nil {
		return err
	}
	err = addRecord(records, key, record)
	if err == nil {
		return nil
	}
	return errors.Join(err, addRecord(records, key, earlier))
}

// addRecord tries more than once: nothing is served there until it works.
func addRecord(records sslRecords, key sslKey, record sslRecord) error {
	const tries = 3
	var err error
	for range tries {
		if err = records.add(key, record); err == nil {
			return nil
		}
	}
	return err
}

// restoreRecord puts an endpoint back to what it had: a record, or none.
func restoreRecord(records sslRecords, key sslKey, earlier sslRecord, had bool) error {
	if had {
		return putRecord(records, key, earlier)
	}
	if err := records.remove(key); !errors.Is(err, ErrNotExist) {
		return err
	}
	return nil
}

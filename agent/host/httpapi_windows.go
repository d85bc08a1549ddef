package host

import (
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/windows"
)

// driverRecords are the records of http.sys, through the HTTP Server API (http.h). Unlike `netsh http`, it speaks no language and keeps
// what a record holds besides its certificate.
type driverRecords struct{}

// Kinds of configuration and of query (HTTP_SERVICE_CONFIG_ID, HTTP_SERVICE_CONFIG_QUERY_TYPE).
const (
	configSSL   = 1 // HttpServiceConfigSSLCertInfo: by address and port
	configSNI   = 5 // HttpServiceConfigSslSniCertInfo: by host name and port
	queryExact  = 0 // HttpServiceConfigQueryExact
	initConfig  = 2 // HTTP_INITIALIZE_CONFIG
	apiVersion1 = 1 // HTTPAPI_VERSION 1.0 as it is passed: major version in the low word
)

// sockaddr is room for any socket address (SOCKADDR_STORAGE).
type sockaddr [16]uint64

// sslParam is HTTP_SERVICE_CONFIG_SSL_PARAM.
type sslParam struct {
	hashLength       uint32
	hash             *byte
	appID            [16]byte
	store            *uint16
	checkMode        uint32
	freshness        uint32
	retrievalTimeout uint32
	trustList        *uint16
	trustListStore   *uint16
	flags            uint32
}

// byAddress and byHost are the two kinds of record, their keys first (HTTP_SERVICE_CONFIG_SSL_SET, HTTP_SERVICE_CONFIG_SSL_SNI_SET).
type byAddress struct {
	address *sockaddr
	param   sslParam
}

type byHost struct {
	address sockaddr // of which the port alone counts
	host    *uint16
	param   sslParam
}

// addressQuery and hostQuery ask for one record (HTTP_SERVICE_CONFIG_SSL_QUERY, HTTP_SERVICE_CONFIG_SSL_SNI_QUERY).
type addressQuery struct {
	kind    uint32
	address *sockaddr
	token   uint32
}

type hostQuery struct {
	kind    uint32
	address sockaddr
	host    *uint16
	token   uint32
}

// withDriver calls do between HttpInitialize and HttpTerminate.
func withDriver(do func(api *windows.LazyDLL) error) error {
	api := windows.NewLazySystemDLL("httpapi.dll")
	if err := api.Load(); err != nil {
		return fmt.Errorf("http server api: %w: %w", ErrNotSupported, err)
	}
	if err := status(api.NewProc("HttpInitialize").Call(apiVersion1, initConfig, 0)); err != nil {
		return fmt.Errorf("http server api: %w", err)
	}
	defer func() { _, _, _ = api.NewProc("HttpTerminate").Call(initConfig, 0) }() // only frees
	return do(api)
}

func (driverRecords) read(key sslKey) (record sslRecord, err error) {
	err = withDriver(func(api *windows.LazyDLL) error {
		record, err = queryRecord(api.NewProc("HttpQueryServiceConfiguration"), key)
		return err
	})
	return record, err
}

// queryRecord asks twice: first how long the answer is.
func queryRecord(query *windows.LazyProc, key sslKey) (sslRecord, error) {
	kind, input, size, err := key.query()
	if err != nil {
		return sslRecord{}, err
	}
	var needed uint32
	// Of whole words, so that the structure at its start is aligned.
	answer := make([]uint64, 1)
	for range 3 { // it may grow between two calls
		length := uintptr(len(answer) * 8)
		err = status(query.Call(0, kind, uintptr(input), size, uintptr(unsafe.Pointer(&answer[0])), length, uintptr(unsafe.Pointer(&needed)), 0)) //nolint:gosec // variables of this frame
		if !errors.Is(err, windows.ERROR_INSUFFICIENT_BUFFER) && !errors.Is(err, windows.ERROR_MORE_DATA) {
			break
		}
		answer = make([]uint64, needed/8+1)
	}
	runtime.KeepAlive(input)
	if errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
		return sslRecord{}, ErrNotExist
	}
	if err != nil {
		return sslRecord{}, err
	}
	defer runtime.KeepAlive(answer) // its strings lie behind the structure
	if key.host != "" {
		return (*byHost)(unsafe.Pointer(&answer[0])).param.record(), nil //nolint:gosec // what the call has written
	}
	return (*byAddress)(unsafe.Pointer(&answer[0])).param.record(), nil //nolint:gosec // what the call has written
}

func (driverRecords) add(key sslKey, record sslRecord) error {
	return change("HttpSetServiceConfiguration", key, record)
}

// update is there since Windows 10 version 1703; Server 2016 has it not.
func (driverRecords) update(key sslKey, record sslRecord) error {
	if windows.NewLazySystemDLL("httpapi.dll").NewProc("HttpUpdateServiceConfiguration").Find() != nil {
		return fmt.Errorf("change of a certificate in place: %w", ErrNotSupported)
	}
	return change("HttpUpdateServiceConfiguration", key, record)
}

func (driverRecords) remove(key sslKey) error {
	err := change("HttpDeleteServiceConfiguration", key, sslRecord{})
	if errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
		return ErrNotExist
	}
	return err
}

// change calls one of the three functions that take a whole record.
func change(function string, key sslKey, record sslRecord) error {
	kind, input, size, err := key.with(record)
	if err != nil {
		return err
	}
	return withDriver(func(api *windows.LazyDLL) error {
		err := status(api.NewProc(function).Call(0, kind, uintptr(input), size, 0))
		runtime.KeepAlive(input)
		return err
	})
}

// query makes the input of a query: its kind, structure and size.
func (k sslKey) query() (kind uintptr, input unsafe.Pointer, size uintptr, err error) {
	address := k.sockaddr()
	if k.host == "" {
		q := &addressQuery{kind: queryExact, address: &address}
		return configSSL, unsafe.Pointer(q), unsafe.Sizeof(*q), nil //nolint:gosec // kept alive by the caller
	}
	host, err := windows.UTF16PtrFromString(k.host)
	q := &hostQuery{kind: queryExact, address: address, host: host}
	return configSNI, unsafe.Pointer(q), unsafe.Sizeof(*q), err //nolint:gosec // kept alive by the caller
}

// with makes the input of a change.
func (k sslKey) with(record sslRecord) (kind uintptr, input unsafe.Pointer, size uintptr, err error) {
	param, err := record.param()
	if err != nil {
		return 0, nil, 0, err
	}
	address := k.sockaddr()
	if k.host == "" {
		set := &byAddress{address: &address, param: param}
		return configSSL, unsafe.Pointer(set), unsafe.Sizeof(*set), nil //nolint:gosec // kept alive by the caller
	}
	host, err := windows.UTF16PtrFromString(k.host)
	set := &byHost{address: address, host: host, param: param}
	return configSNI, unsafe.Pointer(set), unsafe.Sizeof(*set), err //nolint:gosec // kept alive by the caller
}

// sockaddr is the key's address and port; for a host name it is any address of IP version 4.
func (k sslKey) sockaddr() sockaddr {
	var room sockaddr
	port := k.port<<8 | k.port>>8 // in network order
	if k.host == "" && k.address.Is6() {
		six := (*windows.RawSockaddrInet6)(unsafe.Pointer(&room)) //nolint:gosec // it is smaller than the room
		six.Family, six.Port, six.Addr = windows.AF_INET6, port, k.address.As16()
		return room
	}
	four := (*windows.RawSockaddrInet4)(unsafe.Pointer(&room)) //nolint:gosec // it is smaller than the room
	four.Family, four.Port = windows.AF_INET, port
	if k.host == "" {
		four.Addr = k.address.As4()
	}
	return room
}

// record copies what the driver has written.
func (p *sslParam) record() sslRecord {
	return sslRecord{
		sha1: hex.EncodeToString(unsafe.Slice(p.hash, p.hashLength)), store: windows.UTF16PtrToString(p.store), appID: p.appID,
		checkMode: p.checkMode, freshness: p.freshness, retrievalTimeout: p.retrievalTimeout, flags: p.flags,
		trustList: windows.UTF16PtrToString(p.trustList), trustListStore: windows.UTF16PtrToString(p.trustListStore),
	}
}

// param is the other way round. Texts that are empty are not there for the driver.
func (r sslRecord) param() (sslParam, error) {
	p := sslParam{
		appID: r.appID, checkMode: r.checkMode, freshness: r.freshness, retrievalTimeout: r.retrievalTimeout, flags: r.flags,
	}
	hash, err := hex.DecodeString(r.sha1)
	if err != nil {
		return p, fmt.Errorf("thumbprint %q: %w", r.sha1, err)
	}
	if len(hash) > 0 {
		p.hash, p.hashLength = &hash[0], uint32(len(hash))
	}
	for _, field := range []struct {
		text string
		into **uint16
	}{{r.store, &p.store}, {r.trustList, &p.trustList}, {r.trustListStore, &p.trustListStore}} {
		if field.text == "" {
			continue
		}
		if *field.into, err = windows.UTF16PtrFromString(field.text); err != nil {
			return p, err
		}
	}
	return p, nil
}

// Package certfacts puts what is public of an X.509 certificate into the words of the contract (action.v1.Certificate), so that agent,
// plugins, server and command line name and judge certificates alike. It reads certificates and decides nothing.
package certfacts

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // what Windows calls a certificate's thumbprint; nothing is trusted because of it
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// SHA256 names a certificate: lower case hexadecimal of the SHA-256 of its DER.
func SHA256(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// SHA1 is the thumbprint that Windows shows, in lower case hexadecimal.
func SHA1(der []byte) string {
	sum := sha1.Sum(der) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:])
}

// FromDER reads a certificate. A certificate that Go refuses to parse is an error that names its SHA-256.
func FromDER(der []byte) (*actionv1.Certificate, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", SHA256(der), err)
	}
	return Of(cert), nil
}

// Of returns the facts of a certificate. Store and has_private_key are not in a certificate, so they stay unset.
func Of(cert *x509.Certificate) *actionv1.Certificate {
	facts := &actionv1.Certificate{
		Sha256: SHA256(cert.Raw), Sha1: SHA1(cert.Raw),
		Subject: text(cert.Subject.String()), Issuer: text(cert.Issuer.String()),
		NotBefore: timestamppb.New(cert.NotBefore), NotAfter: timestamppb.New(cert.NotAfter),
		IsCa: cert.BasicConstraintsValid && cert.IsCA, SelfSigned: SelfSigned(cert), ServerAuth: ServerAuth(cert),
		Serial: hex.EncodeToString(cert.SerialNumber.Bytes()),
	}
	for _, name := range cert.DNSNames {
		facts.DnsNames = append(facts.DnsNames, text(name))
	}
	for _, address := range cert.IPAddresses {
		facts.IpAddresses = append(facts.IpAddresses, address.String())
	}
	return facts
}

// Chain returns the facts of a chain, in its order.
func Chain(chain []*x509.Certificate) []*actionv1.Certificate {
	var out []*actionv1.Certificate
	for _, cert := range chain {
		out = append(out, Of(cert))
	}
	return out
}

// ServerAuth says whether a certificate may be used for TLS servers. One without a list of usages may be used for all (RFC 5280,
// 4.2.1.12).
func ServerAuth(cert *x509.Certificate) bool {
	if len(cert.ExtKeyUsage) == 0 && len(cert.UnknownExtKeyUsage) == 0 {
		return true
	}
	return slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// SelfSigned says whether a certificate is signed by its own key. Where the signature is of a kind that Go no longer checks (SHA-1), the
// names and key ids decide.
func SelfSigned(cert *x509.Certificate) bool {
	if !bytes.Equal(cert.RawSubject, cert.RawIssuer) {
		return false
	}
	err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature)
	if _, old := errors.AsType[x509.InsecureAlgorithmError](err); old || errors.Is(err, x509.ErrUnsupportedAlgorithm) {
		return len(cert.AuthorityKeyId) == 0 || bytes.Equal(cert.AuthorityKeyId, cert.SubjectKeyId)
	}
	return err == nil
}

// text makes what somebody else wrote fit to be sent: names in certificates need not be UTF-8.
func text(s string) string { return strings.ToValidUTF8(s, "?") }

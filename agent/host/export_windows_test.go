//go:build realhost

package host

// CertificatesOfBuild are this machine's stores as an agent on another build of Windows would use them.
func CertificatesOfBuild(build uint32) Certificates { return machineCertificates{build: build} }

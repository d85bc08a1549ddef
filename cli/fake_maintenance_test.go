package cli

import (
	"bytes"
	"crypto/sha256"

	"google.golang.org/grpc/codes"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// Backup sends three portions. The fault "cut-backup" ends it before the summary, "spoil-backup" changes what is sent.
func (f *fakeFleet) Backup(_ *fleetv1.BackupRequest, st fleetv1.MaintenanceService_BackupServer) error {
	if f.has("deny") {
		return refuse(codes.PermissionDenied, "operator \"admin\": may not administer all sites", "RIGHT_MISSING")
	}
	sum, size := sha256.New(), 0
	for _, letter := range []string{"a", "b", "c"} {
		portion := bytes.Repeat([]byte(letter), 1000)
		sum.Write(portion)
		size += len(portion)
		if letter == "c" && f.take("spoil-backup") {
			portion[7] = 'x'
		}
		if err := st.Send(&fleetv1.BackupResponse{Part: &fleetv1.BackupResponse_Portion{Portion: portion}}); err != nil {
			return err
		}
	}
	if f.take("cut-backup") {
		return nil
	}
	return st.Send(&fleetv1.BackupResponse{Part: &fleetv1.BackupResponse_Summary{Summary: &fleetv1.BackupSummary{
		Size: uint64(size), Sha256: sum.Sum(nil), Time: at(0),
	}}})
}

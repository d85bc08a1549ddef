package api

import (
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/upkeep"
)

// Maintenance answers MaintenanceService.
type Maintenance struct {
	fleetv1.UnimplementedMaintenanceServiceServer
	backups *upkeep.Backups
}

// NewMaintenance makes the service.
func NewMaintenance(b *upkeep.Backups) *Maintenance { return &Maintenance{backups: b} }

// Backup implements MaintenanceService.
func (s *Maintenance) Backup(r *fleetv1.BackupRequest, st fleetv1.MaintenanceService_BackupServer) error {
	ctx := st.Context()
	summary, err := s.backups.Send(ctx, caller(ctx), r.GetReason(), func(portion []byte) error {
		return st.Send(&fleetv1.BackupResponse{Part: &fleetv1.BackupResponse_Portion{Portion: portion}})
	})
	if err != nil {
		return err
	}
	return st.Send(&fleetv1.BackupResponse{Part: &fleetv1.BackupResponse_Summary{Summary: summary}})
}

package api

import (
	"context"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/notify"
)

// Notifications answers NotificationService.
type Notifications struct {
	fleetv1.UnimplementedNotificationServiceServer
	desk *notify.Desk
}

// NewNotifications makes the service.
func NewNotifications(d *notify.Desk) *Notifications { return &Notifications{desk: d} }

// ListReceivers implements NotificationService.
func (n *Notifications) ListReceivers(ctx context.Context, _ *fleetv1.ListReceiversRequest) (*fleetv1.ListReceiversResponse, error) {
	receivers, err := n.desk.Receivers(ctx)
	return &fleetv1.ListReceiversResponse{Receivers: receivers}, err
}

// SetRoute implements NotificationService.
func (n *Notifications) SetRoute(ctx context.Context, r *fleetv1.SetRouteRequest) (*fleetv1.SetRouteResponse, error) {
	route, err := n.desk.SetRoute(ctx, access.From(ctx), r)
	return &fleetv1.SetRouteResponse{Route: route}, err
}

// ListRoutes implements NotificationService.
func (n *Notifications) ListRoutes(ctx context.Context, _ *fleetv1.ListRoutesRequest) (*fleetv1.ListRoutesResponse, error) {
	routes, err := n.desk.Routes(ctx, access.From(ctx))
	return &fleetv1.ListRoutesResponse{Routes: routes}, err
}

// DeleteRoute implements NotificationService.
func (n *Notifications) DeleteRoute(ctx context.Context, r *fleetv1.DeleteRouteRequest) (*fleetv1.DeleteRouteResponse, error) {
	return &fleetv1.DeleteRouteResponse{}, n.desk.DeleteRoute(ctx, access.From(ctx), r)
}

// TestReceiver implements NotificationService.
func (n *Notifications) TestReceiver(ctx context.Context, r *fleetv1.TestReceiverRequest) (*fleetv1.TestReceiverResponse, error) {
	answer, err := n.desk.Test(ctx, access.From(ctx), r.GetReceiver())
	return &fleetv1.TestReceiverResponse{Answer: answer}, err
}

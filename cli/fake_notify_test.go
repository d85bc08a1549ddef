package cli

import (
	"context"

	"google.golang.org/grpc/codes"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func (f *fakeFleet) ListReceivers(context.Context, *fleetv1.ListReceiversRequest) (*fleetv1.ListReceiversResponse, error) {
	return &fleetv1.ListReceiversResponse{Receivers: []*fleetv1.Receiver{
		{Name: "desk-mail", Kind: "email", Address: "desk@lyon.example by mail.lyon.example:587", Delivered: at(0)},
		{Name: "siem", Kind: "syslog", Address: "siem.lyon.example:6514", Waiting: 3, Oldest: at(0), Problem: "dial tcp: connection refused\x1b[2J", GivenUp: 1},
	}}, nil
}

func (f *fakeFleet) SetRoute(ctx context.Context, r *fleetv1.SetRouteRequest) (*fleetv1.SetRouteResponse, error) {
	if r.GetRoute().GetReceiver() != "desk-mail" {
		return nil, refuse(codes.InvalidArgument, "receiver \""+r.GetRoute().GetReceiver()+"\": is not in the server's configuration", "UNKNOWN_RECEIVER")
	}
	r.Route.Changed, r.Route.ChangedBy = at(0), caller(ctx)
	f.routes = append(f.routes, r.GetRoute())
	return &fleetv1.SetRouteResponse{Route: r.GetRoute()}, nil
}

func (f *fakeFleet) ListRoutes(context.Context, *fleetv1.ListRoutesRequest) (*fleetv1.ListRoutesResponse, error) {
	return &fleetv1.ListRoutesResponse{Routes: f.routes}, nil
}

func (f *fakeFleet) DeleteRoute(_ context.Context, r *fleetv1.DeleteRouteRequest) (*fleetv1.DeleteRouteResponse, error) {
	for i, route := range f.routes {
		if route.GetName() == r.GetName() {
			f.routes = append(f.routes[:i], f.routes[i+1:]...)
			return &fleetv1.DeleteRouteResponse{}, nil
		}
	}
	return nil, refuse(codes.NotFound, "route \""+r.GetName()+"\": there is no such route", "NOT_FOUND")
}

func (f *fakeFleet) TestReceiver(_ context.Context, r *fleetv1.TestReceiverRequest) (*fleetv1.TestReceiverResponse, error) {
	if r.GetReceiver() == "siem" {
		return nil, refuse(codes.Unavailable, "receiver \"siem\": connection refused", "RECEIVER")
	}
	return &fleetv1.TestReceiverResponse{Answer: "taken by mail.lyon.example:587"}, nil
}

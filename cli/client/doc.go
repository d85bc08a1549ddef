// Package client is fleetctl's side of the operators' API: it dials with the operator's certificate, gives every call a
// deadline, merges pages, follows jobs over broken connections, and turns each error into an exit code with words for people,
// in one place. The verbs in package cli call it; it prints nothing.
package client

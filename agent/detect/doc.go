// Package detect notices what is wrong with a machine by its state: it reads the signals of package catalogue (services, devices,
// configuration, certificates, the way to NES), goes by the state rules of the orders, and reports a fault when it comes, while it lasts and
// when it is gone. It changes nothing. The agent runs one Detector; the reflexes are its Sink.
package detect

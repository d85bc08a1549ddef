// Package sample is what tested and simulated machines are filled with: a certificate authority with certificates and PFX files, the
// configuration files of a NES host and of the Bluetooth Endpoint, and log files. Everything in it is made up; the shapes are those that
// the vendor's guide and Microsoft's documentation describe. Packages hosttest and sim use it. No real machine does.
package sample

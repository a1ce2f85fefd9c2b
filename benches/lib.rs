//! Throughput benchmarks; see the files beside this one.

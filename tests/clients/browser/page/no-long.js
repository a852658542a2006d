// In place of the package `long`: protobufjs then reads numbers of 64 bits as numbers, as it did in earlier bundles.
module.exports = null;

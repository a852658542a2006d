// Stands in for dependencies of the SDK that this page does not want in its bundle; see vite.config.ts for each reason.
export {};

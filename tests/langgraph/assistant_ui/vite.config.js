// Vite 8 takes JSX by itself; the folder of the result is the test's.
export default {
  base: "./",
  logLevel: "warn",
  build: { target: "es2022", chunkSizeWarningLimit: 2000 },
};

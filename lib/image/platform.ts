// The platform of an image: what its config says of it, as one word.

/** @returns `os/architecture[/variant]`. */
export function formatPlatform(image: {
  os: string
  architecture: string
  variant?: string | null | undefined
}): string {
  return [image.os, image.architecture, image.variant].filter(Boolean).join('/')
}

// Formats the platform of an image, from the fields of its config.

/** @returns `os/architecture[/variant]`, without the fields that are empty. */
export function formatPlatform(image: {
  os: string
  architecture: string
  variant?: string | null | undefined
}): string {
  return [image.os, image.architecture, image.variant].filter(Boolean).join('/')
}
